/** Reads a record of the ring `drop_log`: what was refused, where, why, and what its headers said. */
import { bytesToIpv6, bytesToMac, numberToIpv4 } from '../model/addresses.ts';
import type { HeaderSummary } from '../model/drop.ts';
import type { ProgramName } from './maps.ts';
import { TAG_BYTES } from './options.ts';
import { type DropReason, reasonOfNumber } from './reasons.ts';
import { decodeTag } from './wire.ts';

export interface DropRecord {
  /** Nanoseconds on the kernel's monotonic clock. */
  readonly monotonicNs: bigint;
  readonly ifindex: number;
  /** The tenant whose port it was, or the packet's mark on an uplink; 0: nobody's. */
  readonly tag: number;
  /** `unknown` when the programs are newer than this code. */
  readonly reason: DropReason | 'unknown';
  readonly hook: ProgramName | 'unknown';
  /** Of the whole frame, in bytes, at most 65535. */
  readonly length: number;
  /** Undefined when not even the Ethernet header was there. */
  readonly header: HeaderSummary | undefined;
}

/** struct drop of tagqueue/bpf/maps.h. */
const DROP = {
  ktime: 0,
  ifindex: 8,
  tag: 12,
  reason: 16,
  length: 18,
  hook: 20,
  captured: 21,
  head: 24,
} as const;
export const DROP_BYTES = 88;
const HOOKS: readonly (ProgramName | undefined)[] = [
  undefined,
  'port_in',
  'port_out',
  'uplink_in',
  'uplink_out',
];

const ETHERNET_BYTES = 14;
export const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV6 = 0x86dd;
const IPV6_BYTES = 40;
const TCP = 6;
const UDP = 17;

/** @param record  DROP_BYTES bytes */
export function decodeDrop(record: Buffer): DropRecord {
  const captured = record.readUInt8(DROP.captured);
  return {
    monotonicNs: record.readBigUInt64LE(DROP.ktime),
    ifindex: record.readUInt32LE(DROP.ifindex),
    tag: record.readUInt32LE(DROP.tag),
    reason: reasonOfNumber(record.readUInt16LE(DROP.reason)) ?? 'unknown',
    hook: HOOKS[record.readUInt8(DROP.hook)] ?? 'unknown',
    length: record.readUInt16LE(DROP.length),
    header: summarize(record.subarray(DROP.head, DROP.head + captured)),
  };
}

function summarize(frame: Buffer): HeaderSummary | undefined {
  if (frame.length < ETHERNET_BYTES) return undefined;
  const etherType = frame.readUInt16BE(12);
  return {
    destinationMac: bytesToMac(frame),
    sourceMac: bytesToMac(frame.subarray(6)),
    etherType,
    ...networkLayer(etherType, frame.subarray(ETHERNET_BYTES)),
  };
}

type NetworkLayer = Partial<Omit<HeaderSummary, 'sourceMac' | 'destinationMac' | 'etherType'>>;

function networkLayer(etherType: number, packet: Buffer): NetworkLayer {
  if (etherType === ETHERTYPE_IPV4 && packet.length >= 20) return ipv4(packet);
  if (etherType === ETHERTYPE_ARP && packet.length >= 28) {
    return {
      arpOperation: packet.readUInt16BE(6),
      source: numberToIpv4(packet.readUInt32BE(14)),
      destination: numberToIpv4(packet.readUInt32BE(24)),
    };
  }
  if (etherType === ETHERTYPE_IPV6 && packet.length >= IPV6_BYTES) return ipv6(packet);
  return {};
}

function ipv4(packet: Buffer): NetworkLayer {
  const headerBytes = (packet.readUInt8(0) & 15) * 4;
  const protocol = packet.readUInt8(9);
  const isFirstFragment = (packet.readUInt16BE(6) & 0x1fff) === 0;
  const claimed = decodeTag(packet.subarray(20, 20 + TAG_BYTES));
  return {
    source: numberToIpv4(packet.readUInt32BE(12)),
    destination: numberToIpv4(packet.readUInt32BE(16)),
    protocol,
    ...(isFirstFragment && portsOf(protocol, packet.subarray(headerBytes))),
    ...(typeof claimed !== 'string' && headerBytes > 20 && { claimedTag: claimed.tenant }),
  };
}

/** What stands behind extension headers was not captured: the first of them is named. */
function ipv6(packet: Buffer): NetworkLayer {
  const protocol = packet.readUInt8(6);
  return {
    source: bytesToIpv6(packet.subarray(8, 24)),
    destination: bytesToIpv6(packet.subarray(24, 40)),
    protocol,
    ...portsOf(protocol, packet.subarray(IPV6_BYTES)),
  };
}

function portsOf(protocol: number, transport: Buffer): NetworkLayer {
  if ((protocol !== TCP && protocol !== UDP) || transport.length < 4) return {};
  return { sourcePort: transport.readUInt16BE(0), destinationPort: transport.readUInt16BE(2) };
}
