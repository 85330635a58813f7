import type { DropEvent } from '../../tagqueue/drops.ts';
import { lineOf } from './drops.ts';

const event = (fields: object): DropEvent =>
  ({
    time: '2030-01-02T03:04:05.678Z',
    interface: 'si0123456789ab',
    ifindex: 7,
    tag: 2,
    reason: 'source_ip',
    hook: 'port_in',
    length: 60,
    header: undefined,
    ...fields,
  }) as unknown as DropEvent;
const header = { sourceMac: '02:00:00:00:00:01', destinationMac: '02:00:00:00:00:02', etherType: 0x0800 };

describe('lineOf', () => {
  it('says when, why, where, whose and what', () => {
    const packet = {
      ...header,
      source: '10.64.0.2',
      destination: '10.64.0.3',
      protocol: 6,
      sourcePort: 1234,
      destinationPort: 80,
    };
    const line = lineOf(event({ header: packet }), 'red');
    for (const part of [
      '03:04:05.678',
      'source_ip',
      'port_in',
      'si0123456789ab',
      'red',
      '10.64.0.2:1234 → 10.64.0.3:80 tcp, 60 bytes',
    ]) {
      expect(line).toContain(part);
    }
  });

  it('shows the tag where the tenant is not known, and nobody where there is none', () => {
    expect(lineOf(event({}), undefined)).toContain('tag 2');
    expect(lineOf(event({ tag: 0 }), undefined)).toContain('nobody');
  });

  it('shows addresses of the link where there are no others', () => {
    expect(lineOf(event({ header: { ...header, etherType: 0x86dd } }), undefined)).toContain(
      '02:00:00:00:00:01 → 02:00:00:00:00:02 ethertype 0x86dd',
    );
  });

  it('shows what a tag claims', () => {
    const packet = { ...header, source: '10.64.0.2', destination: '10.64.0.3', protocol: 17, claimedTag: 5 };
    expect(lineOf(event({ header: packet }), undefined)).toContain('udp, 60 bytes, claims tag 5');
  });

  it('tells how many were missed', () => {
    expect(lineOf({ missed: 12 }, undefined)).toContain('12 more');
  });
});
