/** IPv6 packets with a tag, format 1: as destination options, and in the tunnel. docs/tag-wire-format.md describes it. */
import { numberToIpv4 } from '../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../model/names.ts';
import {
  believeTag,
  type Flow,
  isTenant,
  makeTag,
  TAG_FORMAT,
  type Tag,
  type TagFault,
  type TagKey,
} from './token.ts';
import { type TunnelEnds, tunnelPacket } from './wire-vxlan.ts';

export const IPV6_BYTES = 40;
export const TAG6_BYTES = 16;
/** Discarded where unknown, unchanged on the way, experimental (RFC 8200, 4.2; RFC 4727). */
export const TAG6_OPTION = 0x5e;
const OPTION_BYTES = TAG6_BYTES - 4;
const DESTINATION_OPTIONS = 60;
/** Header extension length: in 8 bytes, the first 8 not counted. */
const UNITS = TAG6_BYTES / 8 - 1;
const AT = { length: 4, nextHeader: 6, source: 20, destination: 36 } as const;

/** @param packet  from its IPv6 header on, without a tag */
export function flowOf6(packet: Buffer): Flow {
  return {
    source: numberToIpv4(packet.readUInt32BE(AT.source)),
    destination: numberToIpv4(packet.readUInt32BE(AT.destination)),
    protocol: packet.readUInt8(AT.nextHeader),
  };
}

/** @returns the packet with its tag on, from its IPv6 header on */
export function tagPacket6(packet: Buffer, tenant: TenantTag, key: TagKey): Buffer {
  return withTag6(packet, makeTag(flowOf6(packet), tenant, key, 'option6'));
}

/** The same with a tag that is given, right or wrong. */
export function withTag6(packet: Buffer, { epoch, tenant, mac }: Omit<Tag, 'version'>): Buffer {
  const header = Buffer.from(packet.subarray(0, IPV6_BYTES));
  const option = Buffer.alloc(TAG6_BYTES);
  option.set([packet.readUInt8(AT.nextHeader), UNITS, TAG6_OPTION, OPTION_BYTES, epoch]);
  option.writeUIntBE(tenant, 5, 3);
  option.set(mac, 8);
  header.writeUInt16BE(header.readUInt16BE(AT.length) + TAG6_BYTES, AT.length);
  header.writeUInt8(DESTINATION_OPTIONS, AT.nextHeader);
  return Buffer.concat([header, option, packet.subarray(IPV6_BYTES)]);
}

/** @returns the packet as it belongs to its container, and whose it is; or why it is not believed. */
export function untagPacket6(
  packet: Buffer,
  keys: ReadonlyMap<KeyEpoch, Uint8Array>,
): { readonly tenant: TenantTag; readonly packet: Buffer } | TagFault | 'untagged' {
  if (packet[AT.nextHeader] !== DESTINATION_OPTIONS) return 'untagged';
  const option = packet.subarray(IPV6_BYTES, IPV6_BYTES + TAG6_BYTES);
  const header = Buffer.from(packet.subarray(0, IPV6_BYTES));
  const length = header.readUInt16BE(AT.length);
  const whole =
    option.length === TAG6_BYTES &&
    header.readUInt8() >> 4 === 6 &&
    length >= TAG6_BYTES &&
    option[1] === UNITS &&
    option[2] === TAG6_OPTION &&
    option[3] === OPTION_BYTES &&
    isTenant(option.readUIntBE(5, 3));
  if (!whole) return 'tag_malformed';
  header.writeUInt16BE(length - TAG6_BYTES, AT.length);
  header.writeUInt8(option.readUInt8(), AT.nextHeader);
  const claimed: Tag = {
    version: TAG_FORMAT,
    epoch: option.readUInt8(4) as KeyEpoch,
    tenant: option.readUIntBE(5, 3) as TenantTag,
    mac: option.subarray(8),
  };
  const tag = believeTag(flowOf6(header), claimed, 'option6', keys);
  if (typeof tag === 'string') return tag;
  return { tenant: tag.tenant, packet: Buffer.concat([header, packet.subarray(IPV6_BYTES + TAG6_BYTES)]) };
}

/** @param inner  an IPv6 packet @returns the packet that goes between the nodes, from its IPv4 header on */
export function enterTunnel6(inner: Buffer, ends: TunnelEnds, tenant: TenantTag, key: TagKey): Buffer {
  return tunnelPacket(inner, ends, makeTag(flowOf6(inner), tenant, key, 'vxlan6'));
}
