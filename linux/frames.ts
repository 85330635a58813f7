/** Builds Ethernet frames byte by byte, right and wrong ones, for probes that a kernel's own stack would not send. */
import { type Ipv4, ipv4ToBytes, type Mac, macToBytes } from '../model/addresses.ts';

export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17 } as const;
export const BROADCAST_MAC = 'ff:ff:ff:ff:ff:ff' as Mac;
export const ETHERNET_BYTES = 14;
/** A header without options. */
export const IPV4_BYTES = 20;

export function ethernetFrame(source: Mac, destination: Mac, type: number, payload: Uint8Array): Buffer {
  const header = Buffer.from([...macToBytes(destination), ...macToBytes(source), type >> 8, type & 255]);
  return Buffer.concat([header, payload]);
}

export interface Ipv4Fields {
  readonly source: Ipv4;
  readonly destination: Ipv4;
  /** IPv4's protocol field, 0 to 255. */
  readonly protocol: number;
  /** A multiple of 4 bytes, at most 40; default none. */
  readonly options?: Uint8Array;
}

/** An IPv4 packet with a right checksum (RFC 791). */
export function ipv4Packet(fields: Ipv4Fields, payload: Uint8Array): Buffer {
  const options = fields.options ?? new Uint8Array();
  const header = Buffer.alloc(IPV4_BYTES + options.length);
  header[0] = 0x40 | (header.length / 4);
  header.writeUInt16BE(header.length + payload.length, 2);
  header.set([64, fields.protocol], 8);
  header.set(ipv4ToBytes(fields.source), 12);
  header.set(ipv4ToBytes(fields.destination), 16);
  header.set(options, IPV4_BYTES);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([header, payload]);
}

/** RFC 1071; 0 over bytes that hold their own right checksum. */
export function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += at + 1 < bytes.length ? bytes.readUInt16BE(at) : bytes.readUInt8(at) << 8;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** A UDP datagram without checksum (RFC 768 allows it over IPv4). */
export function udpDatagram(from: number, to: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(from, 0);
  header.writeUInt16BE(to, 2);
  header.writeUInt16BE(8 + payload.length, 4);
  return Buffer.concat([header, payload]);
}

/** An ICMP echo request (RFC 792). @param id  0 to 65535 @param sequence  0 to 65535 */
export function echoRequest(id: number, sequence: number, payload: Uint8Array): Buffer {
  const message = Buffer.alloc(8 + payload.length);
  message[0] = 8;
  message.writeUInt16BE(id, 4);
  message.writeUInt16BE(sequence, 6);
  message.set(payload, 8);
  message.writeUInt16BE(internetChecksum(message), 2);
  return message;
}

export interface ArpFields {
  readonly operation: 'request' | 'reply';
  readonly senderMac: Mac;
  readonly senderIp: Ipv4;
  readonly targetIp: Ipv4;
}

/** RFC 826, for Ethernet and IPv4. */
export function arpPacket(fields: ArpFields): Buffer {
  const packet = Buffer.alloc(28);
  packet.writeUInt16BE(1, 0);
  packet.writeUInt16BE(ETHERTYPE.ipv4, 2);
  packet.set([6, 4], 4);
  packet.writeUInt16BE(fields.operation === 'request' ? 1 : 2, 6);
  packet.set(macToBytes(fields.senderMac), 8);
  packet.set(ipv4ToBytes(fields.senderIp), 14);
  packet.set(ipv4ToBytes(fields.targetIp), 24);
  return packet;
}
