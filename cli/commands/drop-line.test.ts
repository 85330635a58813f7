import type { DropEvent } from '../../model/drop.ts';
import { dropLine } from './drop-line.ts';
import { countsFor } from './drops.ts';

const event = (fields: object): DropEvent =>
  ({
    time: '2030-01-02T03:04:05.678Z',
    node: 'a',
    interface: 'si0123456789ab',
    ifindex: 7,
    tag: 2,
    tenant: null,
    container: null,
    reason: 'source_ip',
    hook: 'port_in',
    length: 60,
    ...fields,
  }) as unknown as DropEvent;
const header = { sourceMac: '02:00:00:00:00:01', destinationMac: '02:00:00:00:00:02', etherType: 0x0800 };
const packet = { ...header, source: '10.64.0.2', destination: '10.64.0.3' };

describe('the line of a refused packet', () => {
  it('says when, where, why, whose and what', () => {
    const tcp = { ...packet, protocol: 6, sourcePort: 1234, destinationPort: 80 };
    const container = { id: '0123456789abcdef', name: 'web', ifName: 'eth1' };
    const line = dropLine(event({ header: tcp, tenant: 'red', container }));
    for (const part of [
      '03:04:05.678',
      'source_ip',
      'port_in',
      'web/eth1',
      'red',
      '10.64.0.2:1234 → 10.64.0.3:80 tcp, 60 bytes',
    ]) {
      expect(line).toContain(part);
    }
  });

  it('shows the interface where no container is known, and its number when it is gone', () => {
    expect(dropLine(event({}))).toContain('si0123456789ab');
    expect(dropLine(event({ interface: undefined }))).toContain('interface 7');
    expect(dropLine(event({ container: { id: '0123456789abcdef', name: null, ifName: 'eth1' } }))).toContain(
      '0123456789ab/eth1',
    );
  });

  it('shows the tag where the tenant is not known, and nobody where there is none', () => {
    expect(dropLine(event({}))).toContain('tag 2');
    expect(dropLine(event({ tag: 0 }))).toContain('nobody');
  });

  it('shows addresses of the link where there are no others', () => {
    expect(dropLine(event({ header: { ...header, etherType: 0x88b5 } }))).toContain(
      '02:00:00:00:00:01 → 02:00:00:00:00:02 ethertype 0x88b5',
    );
  });

  it('shows what a tag claims, what is asked by ARP, and ports of IPv6', () => {
    expect(dropLine(event({ header: { ...packet, protocol: 17, claimedTag: 5 } }))).toContain(
      'udp, 60 bytes, claims tag 5',
    );
    expect(dropLine(event({ header: { ...packet, etherType: 0x0806, arpOperation: 2 } }))).toContain(
      '10.64.0.2 → 10.64.0.3 arp reply',
    );
    const ipv6 = {
      ...header,
      ...{ etherType: 0x86dd, source: 'fe80::1', destination: 'ff02::2', protocol: 17 },
      ...{ sourcePort: 546, destinationPort: 547 },
    };
    expect(dropLine(event({ header: ipv6 }))).toContain('[fe80::1]:546 → [ff02::2]:547 udp');
  });

  it('names the rule of the guard', () => {
    expect(dropLine(event({ reason: 'guard', rule: 'no-ssh' }))).toContain('guard (no-ssh)');
  });

  it('tells how many were missed', () => {
    expect(dropLine({ missed: 12 })).toContain('12 more');
  });
});

describe('the counts of a tenant', () => {
  const tenants = [
    { tag: 1, tenant: 'red', packets: 3 },
    { tag: 2, tenant: 'blue', packets: 4 },
    { tag: 0, tenant: null, packets: 5 },
  ];
  const counts = [{ reason: 'source_ip', meaning: '', packets: 12, tenants }] as unknown as Parameters<
    typeof countsFor
  >[0];

  it('hold nothing of others', () => {
    expect(countsFor(counts, { tenant: 'red' })).toEqual([
      { ...counts[0], packets: 3, tenants: [tenants[0]] },
    ]);
    expect(countsFor(counts, { tenant: 'nobody' })).toMatchObject([{ packets: 0, tenants: [] }]);
  });

  it('are those of all without a name', () => {
    expect(countsFor(counts, {})).toEqual(counts);
    expect(countsFor(counts, { reason: 'arp_spoof' })).toEqual([]);
  });
});
