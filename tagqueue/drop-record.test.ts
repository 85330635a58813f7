import { ethernetFrame } from '../linux/frames.ts';
import type { Ipv4, Mac } from '../model/addresses.ts';
import type { HeaderSummary } from '../model/drop.ts';
import type { KeyEpoch, TenantTag } from '../model/names.ts';
import { arp, BROADCAST, ETHERTYPE, ipv4, MORE_FRAGMENTS, PROTOCOL, udp } from '../test/frames.ts';
import { DROP_BYTES, decodeDrop } from './drop-record.ts';
import { encodeTag } from './wire.ts';

const MAC = '02:5c:0a:40:00:07' as Mac;
const [A, B] = ['10.64.0.7' as Ipv4, '10.64.4.9' as Ipv4];

/** struct drop, as the programs write it. */
function record(head: Buffer, { reason = 9, hook = 1 } = {}): Buffer {
  const out = Buffer.alloc(DROP_BYTES);
  out.writeBigUInt64LE(123_456_789_012n, 0);
  out.writeUInt32LE(42, 8);
  out.writeUInt32LE(0xb1e5, 12);
  out.writeUInt16LE(reason, 16);
  out.writeUInt16LE(1500, 18);
  out.set([hook, Math.min(64, head.length)], 20);
  out.set(head.subarray(0, 64), 24);
  return out;
}

const headerOf = (frame: Buffer): HeaderSummary | undefined => decodeDrop(record(frame)).header;
const carrying = (packet: Buffer): Buffer => ethernetFrame(MAC, BROADCAST, ETHERTYPE.ipv4, packet);

describe('a drop record', () => {
  it('says when, where, whose and why', () => {
    expect(decodeDrop(record(Buffer.alloc(0)))).toEqual({
      monotonicNs: 123_456_789_012n,
      ifindex: 42,
      tag: 0xb1e5,
      reason: 'source_ip',
      hook: 'port_in',
      length: 1500,
      header: undefined,
    });
  });

  it('of newer programs is not misread', () => {
    expect(decodeDrop(record(Buffer.alloc(0), { reason: 60, hook: 9 }))).toMatchObject({
      reason: 'unknown',
      hook: 'unknown',
    });
  });

  it.each([
    [PROTOCOL.udp, { sourcePort: 53, destinationPort: 4711 }],
    [PROTOCOL.tcp, { sourcePort: 53, destinationPort: 4711 }],
    [PROTOCOL.icmp, {}],
  ])('names the ports of protocol %i, if it has some', (protocol, ports) => {
    const packet = ipv4({ source: A, destination: B, protocol }, udp(53, 4711));
    const ethernetHeader = { sourceMac: MAC, destinationMac: BROADCAST, etherType: 0x0800 };
    expect(headerOf(carrying(packet))).toEqual({
      ...ethernetHeader,
      source: A,
      destination: B,
      protocol,
      ...ports,
    });
  });

  it('finds the ports behind a tag, and tells whose the tag claims to be', () => {
    const flow = { source: A, destination: B, protocol: PROTOCOL.udp };
    const options = encodeTag(flow, 77 as TenantTag, { epoch: 1 as KeyEpoch, secret: Buffer.alloc(16) });
    expect(headerOf(carrying(ipv4({ ...flow, options }, udp(53, 4711))))).toMatchObject({
      claimedTag: 77,
      sourcePort: 53,
    });
  });

  it('names no ports of a later fragment', () => {
    const summary = headerOf(
      carrying(ipv4({ source: A, destination: B, fragment: 5 + MORE_FRAGMENTS }, udp(1, 2))),
    );
    expect(summary).toMatchObject({ source: A, protocol: PROTOCOL.udp });
    expect(summary).not.toHaveProperty('sourcePort');
  });

  it('shows who asks for whom in ARP', () => {
    const packet = arp({ operation: 'request', senderMac: MAC, senderIp: A, targetIp: B });
    expect(headerOf(ethernetFrame(MAC, BROADCAST, ETHERTYPE.arp, packet))).toMatchObject({
      etherType: 0x0806,
      source: A,
      destination: B,
    });
  });

  it.each([0, 13, 14, 20, 33, 36])('reads what there is of a frame cut at %i bytes', (length) => {
    const header = headerOf(carrying(ipv4({ source: A, destination: B })).subarray(0, length));
    expect(header === undefined).toBe(length < 14);
    expect(header?.source === undefined).toBe(length < 34);
    expect(header?.sourcePort).toBeUndefined();
  });
});

describe('a drop record of other protocols', () => {
  const ethernetHeader = { sourceMac: MAC, destinationMac: BROADCAST };

  it('has the addresses, the protocol and the ports of IPv6', () => {
    const packet = Buffer.concat([
      Buffer.from('6000000000081140', 'hex'),
      Buffer.from('fe80000000000000005c0afffe400007', 'hex'),
      Buffer.from('ff020000000000000000000000010002', 'hex'),
      udp(546, 547),
    ]);
    expect(headerOf(ethernetFrame(MAC, BROADCAST, 0x86dd, packet))).toEqual({
      ...ethernetHeader,
      ...{ etherType: 0x86dd, source: 'fe80::5c:aff:fe40:7', destination: 'ff02::1:2', protocol: 17 },
      ...{ sourcePort: 546, destinationPort: 547 },
    });
  });

  it('says whether ARP asks or answers', () => {
    const fields = { operation: 'reply', senderMac: MAC, senderIp: A, targetIp: B } as const;
    expect(headerOf(ethernetFrame(MAC, BROADCAST, ETHERTYPE.arp, arp(fields)))).toMatchObject({
      arpOperation: 2,
      source: A,
      destination: B,
    });
  });
});
