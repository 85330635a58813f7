/**
 * The fence at the uplink for the packet path in userland: what uplink_out and uplink_in of tagqueue/bpf/fence.bpf.c do,
 * check by check and byte by byte. Packets are changed where they stand; nothing is allocated.
 */
import { areHarmlessOptions, TAG_BYTES, TAG_OPTION } from '../options.ts';
import { type DropReason, numberOfReason } from '../reasons.ts';
import { TAG_FORMAT } from '../token.ts';
import {
  DESTINATION,
  headerBytesOf,
  lessWords,
  PLAIN_BYTES,
  PROTOCOL,
  resizeHeader,
  SOURCE,
  sumOfTag,
  TOTAL_LENGTH,
} from './header.ts';
import { cutQuotedTag, isWholeIcmp, QUOTE, quotesReceiver } from './quote.ts';
import { mac, siphash } from './siphash.ts';
import { type FenceTables, isPeers } from './tables.ts';

/** A reason's number, or ALLOWED. */
export type Judgement = number;
export const ALLOWED = 0;

const refusal = (reason: DropReason): Judgement => numberOfReason(reason);
const MALFORMED = refusal('malformed');
const IP_OPTIONS = refusal('ip_options');
const OTHER_TENANT = refusal('other_tenant');
const UNTAGGED = refusal('untagged');
const FOREIGN_SOURCE = refusal('foreign_source');
const INTERNAL_LEAK = refusal('internal_leak');
const NO_KEY = refusal('no_key');
const NO_ROOM = refusal('no_room');
const TAG_MALFORMED = refusal('tag_malformed');
const TAG_VERSION = refusal('tag_version');
const TAG_EPOCH = refusal('tag_epoch');
const TAG_FORGED = refusal('tag_forged');

/** Two of the option that does nothing (RFC 791). */
const NO_OPERATIONS = 0x0101;
/** Of a header with a tag and nothing else. */
export const TAGGED_BYTES = PLAIN_BYTES + TAG_BYTES;
const LONGEST_HEADER = 60;
const LONGEST_PACKET = 0xffff;
const LARGEST_TENANT = 0xff_ff_ff;

/** A packet, and what became of it. One object serves for all. */
export interface Passage {
  readonly bytes: DataView;
  /** Where the packet stands, from its IPv4 header on. At least TAG_BYTES before it are free. */
  at: number;
  length: number;
  mark: number;
  /** Of the tenant whose packet it is, as its mark or an authentic tag says; 0: nobody's, as far as is known. */
  tag: number;
  /** Whether bytes or place of the packet differ from before. */
  changed: boolean;
}

/** A packet about to leave by the uplink: one for another node gets the tag of the tenant in its mark. */
export function judgeOut(tables: FenceTables, packet: Passage): Judgement {
  const { bytes, at } = packet;
  packet.changed = false;
  packet.tag = tables.tagOfIndex[(packet.mark & tables.markMask) >>> tables.markShift] ?? 0;
  if (packet.length < PLAIN_BYTES) return MALFORMED;
  const source = bytes.getUint32(at + SOURCE);
  if (!inPool(tables, bytes.getUint32(at + DESTINATION)))
    return inPool(tables, source) ? INTERNAL_LEAK : ALLOWED;

  if (packet.tag === 0) return UNTAGGED;
  if (!inOwnBlock(tables, source)) return FOREIGN_SOURCE;
  if (tables.valid[tables.epoch] !== 1) return NO_KEY;
  return putTag(tables, packet, packet.tag);
}

/** A packet that came in by the uplink: one for this node's containers must have an authentic tag, which becomes a mark. */
export function judgeIn(tables: FenceTables, packet: Passage): Judgement {
  const { bytes, at } = packet;
  packet.changed = false;
  packet.tag = 0;
  packet.mark = (packet.mark & ~tables.markMask) >>> 0;
  if (packet.length < PLAIN_BYTES) return MALFORMED;
  const source = bytes.getUint32(at + SOURCE);
  if (!inPool(tables, bytes.getUint32(at + DESTINATION)))
    return inPool(tables, source) ? INTERNAL_LEAK : ALLOWED;

  if (isWholeIcmp(bytes, at) && !inPool(tables, source)) return takeQuotedTag(tables, packet);
  if (headerBytesOf(bytes, at) === PLAIN_BYTES) return UNTAGGED;
  if (!isPeers(tables, source)) return FOREIGN_SOURCE;
  return takeTag(tables, packet);
}

/**
 * Fills the place of the tag that was taken off with options that mean nothing. The kernel has measured the header
 * before it was changed and does not measure it again for what it keeps (ip_local_deliver_finish of net/ipv4/ip_input.c).
 */
export function keepHeaderLength(packet: Passage): void {
  const { bytes } = packet;
  const at = packet.at - TAG_BYTES;
  for (let offset = 0; offset < PLAIN_BYTES; offset += 4)
    bytes.setUint32(at + offset, bytes.getUint32(packet.at + offset));
  const filled = at + PLAIN_BYTES;
  for (let offset = 0; offset < TAG_BYTES; offset += 2) bytes.setUint16(filled + offset, NO_OPERATIONS);
  const total = bytes.getUint16(at + TOTAL_LENGTH) + TAG_BYTES;
  resizeHeader(bytes, at, headerBytesOf(bytes, at) + TAG_BYTES, total, sumOfTag(bytes, filled));
  packet.at = at;
  packet.length += TAG_BYTES;
}

/** Whether it came with a tag of its own, which errors from outside the pool do not, and ends at this host. */
export function endsAtGateway(tables: FenceTables, { bytes, at }: Passage): boolean {
  return bytes.getUint32(at + DESTINATION) === tables.gateway && inPool(tables, bytes.getUint32(at + SOURCE));
}

function inPool({ pool, poolMask }: FenceTables, address: number): boolean {
  return (address & poolMask) >>> 0 === pool;
}

function inOwnBlock({ own, ownMask }: FenceTables, address: number): boolean {
  return (address & ownMask) >>> 0 === own;
}

function putTag(tables: FenceTables, packet: Passage, tenant: number): Judgement {
  const { bytes } = packet;
  const headerBytes = headerBytesOf(bytes, packet.at);
  const total = bytes.getUint16(packet.at + TOTAL_LENGTH) + TAG_BYTES;
  if (headerBytes < PLAIN_BYTES || headerBytes + TAG_BYTES > LONGEST_HEADER) return IP_OPTIONS;
  // Options that are not all there: no router of this host lets them by, but who else is on the way?
  if (headerBytes + TAG_BYTES > total || headerBytes > packet.length) return IP_OPTIONS;
  if (total > LONGEST_PACKET) return NO_ROOM;
  const at = packet.at - TAG_BYTES;
  for (let offset = 0; offset < PLAIN_BYTES; offset += 4)
    bytes.setUint32(at + offset, bytes.getUint32(packet.at + offset));

  const tag = at + PLAIN_BYTES;
  bytes.setUint16(tag, (TAG_OPTION << 8) | TAG_BYTES);
  bytes.setUint8(tag + 2, TAG_FORMAT);
  bytes.setUint8(tag + 3, tables.epoch);
  bytes.setUint32(tag + 4, tenant);
  hashTag(tables, bytes, at);
  bytes.setUint32(tag + 8, mac[0] ?? 0, true);
  bytes.setUint32(tag + 12, mac[1] ?? 0, true);
  resizeHeader(bytes, at, headerBytes + TAG_BYTES, total, sumOfTag(bytes, tag));
  packet.at = at;
  packet.length += TAG_BYTES;
  packet.mark = (packet.mark & ~tables.markMask) >>> 0;
  packet.changed = true;
  return ALLOWED;
}

function takeTag(tables: FenceTables, packet: Passage): Judgement {
  const { bytes, at } = packet;
  const total = bytes.getUint16(at + TOTAL_LENGTH);
  const headerBytes = headerBytesOf(bytes, at);
  if (headerBytes < TAGGED_BYTES || packet.length < TAGGED_BYTES || total < headerBytes) return TAG_MALFORMED;
  if (packet.length < headerBytes || !areHarmlessOptions(bytes, at + TAGGED_BYTES, at + headerBytes))
    return TAG_MALFORMED;
  const refused = checkTag(tables, bytes, at);
  if (refused !== ALLOWED) return refused;

  const tag = at + PLAIN_BYTES;
  const tenant = bytes.getUint32(tag + 4) & LARGEST_TENANT;
  resizeHeader(bytes, at, headerBytes - TAG_BYTES, total - TAG_BYTES, lessWords(bytes, tag, TAG_BYTES));
  const plain = at + TAG_BYTES;
  for (let offset = PLAIN_BYTES - 4; offset >= 0; offset -= 4)
    bytes.setUint32(plain + offset, bytes.getUint32(at + offset));
  packet.at = plain;
  packet.length -= TAG_BYTES;
  packet.changed = true;
  packet.tag = tenant;

  const mark = tables.markOfTag.get(tenant);
  if (mark === undefined) return OTHER_TENANT; // nobody of this tenant is here to hear it
  packet.mark = (packet.mark | mark) >>> 0;
  return ALLOWED;
}

/** A router in the middle has no key: its error is believed for the tag that it quotes, and goes to whom that is about. */
function takeQuotedTag(tables: FenceTables, packet: Passage): Judgement {
  const { bytes, at } = packet;
  const quoted = at + QUOTE;
  if (!quotesReceiver(bytes, at, packet.length) || !inOwnBlock(tables, bytes.getUint32(at + DESTINATION)))
    return UNTAGGED;
  const refused = checkTag(tables, bytes, quoted);
  if (refused !== ALLOWED) return refused;
  packet.tag = bytes.getUint32(quoted + PLAIN_BYTES + 4) & LARGEST_TENANT;
  const mark = tables.markOfTag.get(packet.tag);
  if (mark === undefined) return OTHER_TENANT; // nobody of this tenant is here to hear it
  cutQuotedTag(bytes, at);
  packet.at += TAG_BYTES;
  packet.length -= TAG_BYTES;
  packet.changed = true;
  packet.mark = (packet.mark | mark) >>> 0;
  return ALLOWED;
}

/** Everything a tag must be, in the order of docs/tag-wire-format.md. */
function checkTag(tables: FenceTables, bytes: DataView, at: number): Judgement {
  const tag = at + PLAIN_BYTES;
  if (bytes.getUint16(tag) !== ((TAG_OPTION << 8) | TAG_BYTES)) return TAG_MALFORMED;
  const tenant = bytes.getUint32(tag + 4);
  if (tenant === 0 || tenant > LARGEST_TENANT) return TAG_MALFORMED;
  if (bytes.getUint8(tag + 2) !== TAG_FORMAT) return TAG_VERSION;
  if (tables.valid[bytes.getUint8(tag + 3)] !== 1) return TAG_EPOCH;
  hashTag(tables, bytes, at);
  // Both halves are always compared: how long it takes does not tell where a guess went wrong.
  const differs =
    (bytes.getUint32(tag + 8, true) ^ (mac[0] ?? 0)) | (bytes.getUint32(tag + 12, true) ^ (mac[1] ?? 0));
  return differs === 0 ? ALLOWED : TAG_FORGED;
}

/** Leaves in `mac` what the tag of the packet at `at` should have. */
function hashTag({ keys }: FenceTables, bytes: DataView, at: number): void {
  const tag = at + PLAIN_BYTES;
  const epoch = bytes.getUint8(tag + 3);
  siphash(
    keys,
    epoch * 4,
    bytes.getUint32(at + SOURCE, true),
    bytes.getUint32(at + DESTINATION, true),
    bytes.getUint8(tag + 2) | (epoch << 8) | (bytes.getUint8(at + PROTOCOL) << 16),
    bytes.getUint32(tag + 4, true) & ~0xff,
  );
}
