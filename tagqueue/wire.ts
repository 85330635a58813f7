/** The carrier `option`, format 1: the tag as 16 bytes of IPv4 option. docs/tag-wire-format.md describes it. */
import type { KeyEpoch, TenantTag } from '../model/names.ts';
import { areHarmlessOptions, TAG_BYTES, TAG_OPTION } from './options.ts';
import {
  believeTag,
  type Flow,
  isTenant,
  makeTag,
  type Tag,
  type TagFault,
  type TagKey,
  tokenInput,
} from './token.ts';

export type { Flow, Tag, TagFault, TagKey } from './token.ts';

/** @returns the tag as it stands in the packet, 16 bytes right behind the 20-byte header. */
export function encodeTag(flow: Flow, tenant: TenantTag, key: TagKey): Buffer {
  return optionOf(makeTag(flow, tenant, key, 'option'));
}

/** The bytes of a tag, right or wrong. */
export function optionOf({ version, epoch, tenant, mac }: Tag): Buffer {
  const option = Buffer.alloc(TAG_BYTES);
  option.set([TAG_OPTION, TAG_BYTES, version, epoch]);
  option.writeUInt32BE(tenant, 4);
  option.set(mac, 8);
  return option;
}

/** Takes apart what stands in a packet's options. Only a whole tag comes through, with harmless options behind it. */
export function decodeTag(options: Uint8Array): Tag | TagFault {
  const option = Buffer.from(options.subarray(0, TAG_BYTES));
  if (option.length !== TAG_BYTES || option[0] !== TAG_OPTION || option[1] !== TAG_BYTES)
    return 'tag_malformed';
  const view = new DataView(options.buffer, options.byteOffset, options.byteLength);
  if (!areHarmlessOptions(view, TAG_BYTES, options.length)) return 'tag_malformed';
  if (!isTenant(option.readUInt32BE(4))) return 'tag_malformed';
  return tagIn(option);
}

function tagIn(option: Buffer): Tag {
  return {
    version: option.readUInt8(2),
    epoch: option.readUInt8(3) as KeyEpoch,
    tenant: option.readUIntBE(5, 3) as TenantTag,
    mac: option.subarray(8),
  };
}

/** The 16 bytes under the MAC of an option, right or wrong. */
export function macInput(flow: Flow, option: Uint8Array): Buffer {
  return tokenInput(flow, tagIn(Buffer.from(option)), 'option');
}

/** @returns the tag when it is whole and authentic, else what is wrong with it. */
export function verifyTag(
  flow: Flow,
  options: Uint8Array,
  keys: ReadonlyMap<KeyEpoch, Uint8Array>,
): Tag | TagFault {
  const tag = decodeTag(options);
  return typeof tag === 'string' ? tag : believeTag(flow, tag, 'option', keys);
}
