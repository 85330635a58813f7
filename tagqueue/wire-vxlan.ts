/** The carrier `vxlan`, format 1: the tag in the headers of a tunnel. docs/tag-wire-format.md describes it. */
import { ETHERTYPE, IPV4_BYTES, internetChecksum, PROTOCOL } from '../linux/frames.ts';
import { type Ipv4, ipv4ToBytes, numberToIpv4 } from '../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../model/names.ts';
import { believeTag, type Flow, isTenant, makeTag, type Tag, type TagFault, type TagKey } from './token.ts';

/** Outer IPv4, UDP, VXLAN and inner Ethernet: what the tunnel puts before a packet. */
export const TUNNEL_BYTES = IPV4_BYTES + 8 + 8 + 14;
/** I flag: the VNI is valid (RFC 7348). */
const VXLAN_FLAGS = 0x0800_0000;
const KIND_LOCAL = 0x02;
const TTL = 64;
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS_OR_OFFSET = 0x3fff;
/** Offsets in a packet of the tunnel, from its outer IPv4 header. */
const AT = {
  ...{ udp: 20, vxlan: 28, destinationKind: 36, epoch: 37, macLow: 38, sourceKind: 42, version: 43 },
  ...{ macHigh: 44, protocol: 48, inner: TUNNEL_BYTES },
} as const;
const ECN = 0b11;
const CONGESTED = 0b11;
const CAPABLE_1 = 0b01;

/** Between which nodes, and by which ports. */
export interface TunnelEnds {
  readonly source: Ipv4;
  readonly destination: Ipv4;
  /** 49152 to 65535, the same for all packets of a flow. */
  readonly sourcePort: number;
  /** network.vxlanPort */
  readonly port: number;
}

/** What came through the tunnel, not yet believed. */
export interface TunnelPacket extends TunnelEnds {
  readonly tag: Tag;
  /** The outer header's two bits of congestion notification. */
  readonly ecn: number;
  /** From its IPv4 header on. */
  readonly inner: Buffer;
}

/** What a node must know to believe a packet. */
export interface TunnelReceiver {
  readonly port: number;
  readonly keys: ReadonlyMap<KeyEpoch, Uint8Array>;
  /** Uplink address of the node that has an internal address; undefined: none has. */
  nodeOf(address: Ipv4): Ipv4 | undefined;
  /** Whether an internal address is this node's. */
  isOwn(address: Ipv4): boolean;
}

/** Why a packet of the tunnel is not believed; the same names as the programs' drop reasons. */
export type TunnelFault =
  | TagFault
  | 'tunnel_malformed'
  | 'foreign_source'
  | 'tunnel_peer'
  | 'tunnel_destination';

/** @param inner  an IPv4 packet @returns the packet that goes between the nodes, from its IPv4 header on */
export function enterTunnel(inner: Uint8Array, ends: TunnelEnds, tenant: TenantTag, key: TagKey): Buffer {
  const packet = Buffer.from(inner);
  return tunnelPacket(packet, ends, makeTag(flowOf(packet), tenant, key, 'vxlan'));
}

/** The same with a tag that is given, right or wrong; `inner` may be IPv6, too. */
export function tunnelPacket(inner: Buffer, ends: TunnelEnds, tag: Tag): Buffer {
  const isIpv6 = inner.readUInt8() >> 4 === 6;
  const headers = Buffer.alloc(TUNNEL_BYTES);
  const length = TUNNEL_BYTES + inner.length;
  headers.set([0x45, isIpv6 ? (inner.readUInt16BE() >> 4) & 0xff : inner.readUInt8(1)]);
  headers.writeUInt16BE(length, 2);
  headers.writeUInt16BE(DONT_FRAGMENT, 6);
  headers.set([TTL, PROTOCOL.udp], 8);
  headers.set(ipv4ToBytes(ends.source), 12);
  headers.set(ipv4ToBytes(ends.destination), 16);
  headers.writeUInt16BE(internetChecksum(headers.subarray(0, IPV4_BYTES)), 10);
  headers.writeUInt16BE(ends.sourcePort, AT.udp);
  headers.writeUInt16BE(ends.port, AT.udp + 2);
  headers.writeUInt16BE(length - IPV4_BYTES, AT.udp + 4);
  headers.writeUInt32BE(VXLAN_FLAGS, AT.vxlan);
  headers.writeUIntBE(tag.tenant, AT.vxlan + 4, 3);
  headers.set([KIND_LOCAL, tag.epoch, ...tag.mac.subarray(0, 4)], AT.destinationKind);
  headers.set([KIND_LOCAL, tag.version, ...tag.mac.subarray(4)], AT.sourceKind);
  headers.writeUInt16BE(isIpv6 ? ETHERTYPE.ipv6 : ETHERTYPE.ipv4, AT.protocol);
  return Buffer.concat([headers, inner]);
}

/** Takes apart one packet that came to the tunnel port, from its IPv4 header on. What stands behind it is left out. */
export function decodeTunnel(bytes: Uint8Array, port: number): TunnelPacket | 'tunnel_malformed' {
  const packet = Buffer.from(bytes);
  if (packet.length < AT.inner + IPV4_BYTES) return 'tunnel_malformed';
  const length = packet.readUInt16BE(2);
  const inner = packet.subarray(AT.inner, length);
  const right =
    packet[0] === 0x45 &&
    internetChecksum(packet.subarray(0, IPV4_BYTES)) === 0 &&
    (packet.readUInt16BE(6) & MORE_FRAGMENTS_OR_OFFSET) === 0 &&
    packet[9] === PROTOCOL.udp &&
    length <= packet.length &&
    packet.readUInt16BE(AT.udp + 2) === port &&
    packet.readUInt16BE(AT.udp + 4) === length - IPV4_BYTES &&
    packet.readUInt16BE(AT.udp + 6) === 0 &&
    packet.readUInt32BE(AT.vxlan) === VXLAN_FLAGS &&
    packet[AT.vxlan + 7] === 0 &&
    packet[AT.destinationKind] === KIND_LOCAL &&
    packet[AT.sourceKind] === KIND_LOCAL &&
    packet.readUInt16BE(AT.protocol) === ETHERTYPE.ipv4 &&
    inner.length >= IPV4_BYTES &&
    inner.readUInt8() >> 4 === 4 &&
    (inner.readUInt8() & 15) * 4 >= IPV4_BYTES &&
    inner.readUInt16BE(2) === inner.length;
  if (!right) return 'tunnel_malformed';
  return {
    source: numberToIpv4(packet.readUInt32BE(12)),
    destination: numberToIpv4(packet.readUInt32BE(16)),
    sourcePort: packet.readUInt16BE(AT.udp),
    port,
    tag: {
      version: packet.readUInt8(AT.version),
      epoch: packet.readUInt8(AT.epoch) as KeyEpoch,
      tenant: packet.readUIntBE(AT.vxlan + 4, 3) as TenantTag,
      mac: Buffer.concat([
        packet.subarray(AT.macLow, AT.macLow + 4),
        packet.subarray(AT.macHigh, AT.macHigh + 4),
      ]),
    },
    ecn: packet.readUInt8(1) & ECN,
    inner,
  };
}

/** @returns the packet as it belongs to its container, and whose it is; or why it is not believed. */
export function leaveTunnel(
  bytes: Uint8Array,
  receiver: TunnelReceiver,
): { readonly tenant: TenantTag; readonly inner: Buffer } | TunnelFault {
  const packet = decodeTunnel(bytes, receiver.port);
  if (typeof packet === 'string') return packet;
  const flow = flowOf(packet.inner);
  const node = receiver.nodeOf(flow.source);
  if (node === undefined) return 'foreign_source';
  if (node !== packet.source) return 'tunnel_peer';
  if (!receiver.isOwn(flow.destination)) return 'tunnel_destination';
  if (!isTenant(packet.tag.tenant)) return 'tag_malformed';
  const tag = believeTag(flow, packet.tag, 'vxlan', receiver.keys);
  if (typeof tag === 'string') return tag;
  const inner = withEcn(packet.inner, packet.ecn);
  return inner === undefined ? 'tunnel_malformed' : { tenant: tag.tenant, inner };
}

function flowOf(inner: Buffer): Flow {
  return {
    source: numberToIpv4(inner.readUInt32BE(12)),
    destination: numberToIpv4(inner.readUInt32BE(16)),
    protocol: inner.readUInt8(9),
  };
}

/** What routers said on the way about congestion goes on to the receiver (RFC 6040, 4.2). */
function withEcn(packet: Buffer, outer: number): Buffer | undefined {
  const tos = packet.readUInt8(1);
  const inner = tos & ECN;
  if (inner === 0) return outer === CONGESTED ? undefined : packet;
  if (inner === CONGESTED || (outer !== CONGESTED && outer !== CAPABLE_1)) return packet;
  const copy = Buffer.from(packet);
  copy[1] = (tos & ~ECN) | outer;
  // Only what this change adds: a header that was damaged before stays so.
  const sum = (~copy.readUInt16BE(10) & 0xffff) + (~packet.readUInt16BE(0) & 0xffff) + copy.readUInt16BE(0);
  copy.writeUInt16BE(~folded(sum) & 0xffff, 10);
  return copy;
}

function folded(sum: number): number {
  let rest = sum;
  while (rest > 0xffff) rest = (rest & 0xffff) + (rest >>> 16);
  return rest;
}
