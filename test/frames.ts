/** Builds Ethernet frames byte by byte, right and wrong ones, for tests. */
import { internetChecksum, udpDatagram } from '../linux/frames.ts';
import { type Ipv4, type Ipv6, ipv4ToBytes, ipv6ToBytes, type Mac, macToBytes } from '../model/addresses.ts';

export const ETHERTYPE = {
  ipv4: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  ipv6: 0x86dd,
  serviceVlan: 0x88a8,
  experimental: 0x88b5,
} as const;
export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;
export const BROADCAST = 'ff:ff:ff:ff:ff:ff' as Mac;
export const MORE_FRAGMENTS = 0x2000;

export interface Ipv4Fields {
  readonly source: Ipv4;
  readonly destination: Ipv4;
  readonly protocol?: number;
  /** Flags and fragment offset. */
  readonly fragment?: number;
  readonly options?: Uint8Array;
  /** Class and congestion notification. */
  readonly tos?: number;
  /** These three are right unless given. */
  readonly version?: number;
  readonly headerWords?: number;
  readonly totalLength?: number;
}

/** An IPv4 packet with a right checksum. */
export function ipv4(fields: Ipv4Fields, payload: Uint8Array = udp(1000, 2000)): Buffer {
  const options = fields.options ?? new Uint8Array();
  const header = Buffer.alloc(20 + options.length);
  header[0] = ((fields.version ?? 4) << 4) | (fields.headerWords ?? header.length / 4);
  header[1] = fields.tos ?? 0;
  header.writeUInt16BE(fields.totalLength ?? header.length + payload.length, 2);
  header.writeUInt16BE(0x4711, 4);
  header.writeUInt16BE(fields.fragment ?? 0, 6);
  header.set([64, fields.protocol ?? PROTOCOL.udp], 8);
  header.set(ipv4ToBytes(fields.source), 12);
  header.set(ipv4ToBytes(fields.destination), 16);
  header.set(options, 20);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([header, payload]);
}

/** A UDP datagram without checksum. */
export function udp(from: number, to: number, payload: Uint8Array = Buffer.from('hello, there')): Buffer {
  return udpDatagram(from, to, payload);
}

export interface ArpFields {
  readonly operation: 'request' | 'reply' | number;
  readonly senderMac: Mac;
  readonly senderIp: Ipv4;
  readonly targetIp: Ipv4;
  readonly hardware?: number;
  readonly protocol?: number;
}

export function arp(fields: ArpFields): Buffer {
  const packet = Buffer.alloc(28);
  const operations = { request: 1, reply: 2 } as const;
  packet.writeUInt16BE(fields.hardware ?? 1, 0);
  packet.writeUInt16BE(fields.protocol ?? ETHERTYPE.ipv4, 2);
  packet.set([6, 4], 4);
  packet.writeUInt16BE(
    typeof fields.operation === 'number' ? fields.operation : operations[fields.operation],
    6,
  );
  packet.set(macToBytes(fields.senderMac), 8);
  packet.set(ipv4ToBytes(fields.senderIp), 14);
  packet.set(ipv4ToBytes(fields.targetIp), 24);
  return packet;
}

/** An IPv6 packet from fe80::1 to ff02::1. */
export function ipv6(nextHeader: number, payload: Uint8Array): Buffer {
  return ipv6Between('fe80::1' as Ipv6, 'ff02::1' as Ipv6, nextHeader, payload);
}

/** An IPv6 packet with hop limit 255. @param trafficClass  with congestion notification */
export function ipv6Between(
  source: Ipv6,
  destination: Ipv6,
  nextHeader: number = PROTOCOL.udp,
  payload: Uint8Array = udp(1000, 2000),
  trafficClass = 0,
): Buffer {
  const header = Buffer.alloc(40);
  header.set([0x60 | (trafficClass >> 4), (trafficClass & 15) << 4]);
  header.writeUInt16BE(payload.length, 4);
  header.set([nextHeader, 255], 6);
  header.set(ipv6ToBytes(source), 8);
  header.set(ipv6ToBytes(destination), 24);
  return Buffer.concat([header, payload]);
}

/** A neighbour discovery message about `target` (RFC 4861), without options. */
export function neighbourMessage(type: number, target: Ipv6): Buffer {
  return Buffer.concat([Buffer.from([type, 0, 0, 0, 0, 0, 0, 0]), ipv6ToBytes(target)]);
}

/** An IPv6 extension header of 8 bytes per unit, such as hop-by-hop (0), destination (60) or fragment (44). */
export function extension(nextHeader: number, payload: Uint8Array, units = 1): Buffer {
  const header = Buffer.alloc(8 * units);
  header.set([nextHeader, units - 1]);
  return Buffer.concat([header, payload]);
}
