/** What both carriers carry: a tenant, signed for one pair of addresses. docs/tag-wire-format.md describes it. */
import { timingSafeEqual } from 'node:crypto';
import { type Ipv4, ipv4ToBytes } from '../model/addresses.ts';
import type { Carrier } from '../model/carrier.ts';
import type { KeyEpoch, TenantTag } from '../model/names.ts';
import { siphash24 } from './siphash.ts';

export const TAG_FORMAT = 1;
const LARGEST_TENANT = 0xff_ff_ff;
/** A carrier, and the family of the packet that it carries. */
export type Carriage = Carrier | `${Carrier}6`;

const CARRIER_BYTE = { option: 0, vxlan: 1, option6: 2, vxlan6: 3 } as const satisfies Record<
  Carriage,
  number
>;

/** What of a packet the MAC covers, besides the tag itself. */
export interface Flow {
  /** Of IPv6 addresses the IPv4 addresses in them. */
  readonly source: Ipv4;
  readonly destination: Ipv4;
  /** IPv4's protocol field or IPv6's next header (without the tag), 0 to 255. */
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

/** Whether a tenant's number may stand on the wire. */
export function isTenant(tag: number): tag is TenantTag {
  return tag > 0 && tag <= LARGEST_TENANT;
}

/** The 16 bytes under the MAC: addresses, version, epoch, protocol, carrier, zero, tenant. */
export function tokenInput(flow: Flow, tag: Omit<Tag, 'mac'>, carrier: Carriage): Buffer {
  const input = Buffer.alloc(16);
  input.set(ipv4ToBytes(flow.source), 0);
  input.set(ipv4ToBytes(flow.destination), 4);
  input.set([tag.version, tag.epoch, flow.protocol, CARRIER_BYTE[carrier]], 8);
  input.writeUIntBE(tag.tenant, 13, 3);
  return input;
}

/** @returns the tag that says of this packet, in this carrier, whose it is. */
export function makeTag(flow: Flow, tenant: TenantTag, key: TagKey, carrier: Carriage): Tag {
  const unsigned = { version: TAG_FORMAT, epoch: key.epoch, tenant };
  return { ...unsigned, mac: siphash24(key.secret, tokenInput(flow, unsigned, carrier)) };
}

/** @returns the tag when it is authentic, else what is wrong with it. */
export function believeTag(
  flow: Flow,
  tag: Tag,
  carrier: Carriage,
  keys: ReadonlyMap<KeyEpoch, Uint8Array>,
): Tag | TagFault {
  if (tag.version !== TAG_FORMAT) return 'tag_version';
  const secret = keys.get(tag.epoch);
  if (secret === undefined) return 'tag_epoch';
  return timingSafeEqual(siphash24(secret, tokenInput(flow, tag, carrier)), tag.mac) ? tag : 'tag_forged';
}
