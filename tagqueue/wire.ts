/** The tag on the wire, format 1: 16 bytes of IPv4 option. docs/tag-wire-format.md describes it. */
import { timingSafeEqual } from 'node:crypto';
import { type Ipv4, ipv4ToBytes } from '../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../model/names.ts';
import { siphash24 } from './siphash.ts';

/** Copied into fragments, class 0, number 30: experimental (RFC 791, RFC 4727). */
export const TAG_OPTION = 0x9e;
export const TAG_BYTES = 16;
export const TAG_FORMAT = 1;

const LARGEST_TENANT = 0xff_ff_ff;

/** What of a packet the MAC covers, besides the tag itself. */
export interface Flow {
  readonly source: Ipv4;
  readonly destination: Ipv4;
  /** IPv4's protocol field, 0 to 255. */
  readonly protocol: number;
}

export interface TagKey {
  readonly epoch: KeyEpoch;
  /** 16 bytes. */
  readonly secret: Uint8Array;
}

/** A tag taken apart, not yet believed. */
export interface Tag {
  readonly version: number;
  readonly epoch: KeyEpoch;
  readonly tenant: TenantTag;
  readonly mac: Buffer;
}

/** Why a tag is not believed; the same names as the programs' drop reasons. */
export type TagFault = 'tag_malformed' | 'tag_version' | 'tag_epoch' | 'tag_forged';

/** @returns the tag as it stands in the packet, 16 bytes right behind the 20-byte header. */
export function encodeTag(flow: Flow, tenant: TenantTag, key: TagKey): Buffer {
  const option = Buffer.alloc(TAG_BYTES);
  option.set([TAG_OPTION, TAG_BYTES, TAG_FORMAT, key.epoch]);
  option.writeUInt32BE(tenant, 4);
  option.set(tagMac(flow, option, key.secret), 8);
  return option;
}

/** Takes apart what stands in a packet's options. Only a whole tag of a known format comes through. */
export function decodeTag(options: Uint8Array): Tag | TagFault {
  const option = Buffer.from(options);
  if (option.length !== TAG_BYTES || option[0] !== TAG_OPTION || option[1] !== TAG_BYTES)
    return 'tag_malformed';
  const tenant = option.readUInt32BE(4);
  if (tenant === 0 || tenant > LARGEST_TENANT) return 'tag_malformed';
  const version = option.readUInt8(2);
  if (version !== TAG_FORMAT) return 'tag_version';
  return {
    version,
    epoch: option.readUInt8(3) as KeyEpoch,
    tenant: tenant as TenantTag,
    mac: option.subarray(8),
  };
}

/** @returns the tag when it is whole and authentic, else what is wrong with it. */
export function verifyTag(
  flow: Flow,
  options: Uint8Array,
  keys: ReadonlyMap<KeyEpoch, Uint8Array>,
): Tag | TagFault {
  const tag = decodeTag(options);
  if (typeof tag === 'string') return tag;
  const secret = keys.get(tag.epoch);
  if (secret === undefined) return 'tag_epoch';
  return timingSafeEqual(tagMac(flow, options, secret), tag.mac) ? tag : 'tag_forged';
}

/** The 16 bytes under the MAC: addresses, version, epoch, protocol, zero, tenant. */
export function macInput(flow: Flow, option: Uint8Array): Buffer {
  const input = Buffer.alloc(16);
  input.set(ipv4ToBytes(flow.source), 0);
  input.set(ipv4ToBytes(flow.destination), 4);
  input.set(option.subarray(2, 4), 8);
  input.writeUInt8(flow.protocol, 10);
  input.set(option.subarray(5, 8), 13);
  return input;
}

function tagMac(flow: Flow, option: Uint8Array, secret: Uint8Array): Buffer {
  return siphash24(secret, macInput(flow, option));
}
