/** The fence at the uplink once more, as plainly as it can be said, on top of tagqueue/wire.ts: what the planes are compared with. */
import { internetChecksum } from '../../linux/frames.ts';
import { cidrContains, type Ipv4, numberToIpv4 } from '../../model/addresses.ts';
import type { TenantTag } from '../../model/names.ts';
import { TAG_BYTES } from '../../tagqueue/options.ts';
import type { DropReason } from '../../tagqueue/reasons.ts';
import { encodeTag, type Flow, verifyTag } from '../../tagqueue/wire.ts';
import { PROTOCOL } from '../frames.ts';
import { CONF, KEYS, PEER_BLOCK } from './world.ts';

export type Direction = 'out' | 'in';

export interface Ruling {
  /** Undefined: it passes. */
  readonly refused?: DropReason;
  /** The packet as it goes on. */
  readonly packet: Buffer;
  /** The tenant that it came in with by its tag; 0: none. */
  readonly tenant: number;
}

/** ICMP's errors: unreachable, time exceeded, parameter problem. */
const ERRORS: readonly number[] = [3, 11, 12];
/** Where an error's quote begins: behind its header and two words. */
const QUOTE = 28;

const refuse = (refused: DropReason): Ruling => ({ refused, packet: Buffer.alloc(0), tenant: 0 });
const internal = (address: Ipv4): boolean => cidrContains(CONF.internalPool, address);
const own = (address: Ipv4): boolean => cidrContains(CONF.ownBlock, address);

/**
 * @param packet  from the IPv4 header on, with a right checksum
 * @param tenant  whose mark it bears; 0: nobody's
 * @param known   tenants with containers here
 */
export function judge(
  direction: Direction,
  packet: Buffer,
  tenant: number,
  known: readonly TenantTag[],
): Ruling {
  if (packet.length < 20) return refuse('malformed');
  const flow = flowOf(packet);
  if (internal(flow.destination))
    return direction === 'out' ? judgeOut(flow, packet, tenant, known) : judgeIn(flow, packet, known);
  return internal(flow.source) ? refuse('internal_leak') : { packet, tenant: 0 };
}

function flowOf(packet: Buffer): Flow {
  return {
    source: numberToIpv4(packet.readUInt32BE(12)),
    destination: numberToIpv4(packet.readUInt32BE(16)),
    protocol: packet.readUInt8(9),
  };
}

function judgeOut(flow: Flow, packet: Buffer, tenant: number, known: readonly number[]): Ruling {
  if (!known.includes(tenant)) return refuse('untagged');
  if (!own(flow.source)) return refuse('foreign_source');
  const secret = KEYS.get(CONF.epoch);
  if (secret === undefined) return refuse('no_key');
  const headerBytes = headerBytesOf(packet);
  if (headerBytes < 20 || headerBytes + TAG_BYTES > 60) return refuse('ip_options');
  const total = packet.readUInt16BE(2) + TAG_BYTES;
  if (headerBytes > packet.length || headerBytes > total - TAG_BYTES) return refuse('ip_options');
  if (total > 0xffff) return refuse('no_room');
  const tag = encodeTag(flow, tenant as TenantTag, { epoch: CONF.epoch, secret });
  const options = Buffer.concat([tag, packet.subarray(20, headerBytes)]);
  return { packet: withOptions(packet, headerBytes, total, TAG_BYTES, options), tenant: 0 };
}

function judgeIn(flow: Flow, packet: Buffer, known: readonly TenantTag[]): Ruling {
  const headerBytes = headerBytesOf(packet);
  const total = packet.readUInt16BE(2);
  if (isMessageFromOutside(packet)) return judgeMessage(flow, packet, known);
  if (headerBytes === 20) return refuse('untagged');
  if (!cidrContains(PEER_BLOCK, flow.source)) return refuse('foreign_source');
  if (headerBytes < 20 + TAG_BYTES || packet.length < headerBytes || total < headerBytes)
    return refuse('tag_malformed');
  const tag = verifyTag(flow, packet.subarray(20, headerBytes), KEYS);
  if (typeof tag === 'string') return refuse(tag);
  if (!known.includes(tag.tenant)) return refuse('other_tenant');
  return {
    packet: withOptions(
      packet,
      headerBytes,
      total - TAG_BYTES,
      -TAG_BYTES,
      packet.subarray(20 + TAG_BYTES, headerBytes),
    ),
    tenant: tag.tenant,
  };
}

/** Whether it is an ICMP message by a machine that is no container, in one piece and without options. */
export function isMessageFromOutside(packet: Buffer): boolean {
  const { source, protocol } = flowOf(packet);
  const inPieces = (packet.readUInt16BE(6) & 0x3fff) !== 0;
  return protocol === PROTOCOL.icmp && !internal(source) && headerBytesOf(packet) === 20 && !inPieces;
}

/** Of such messages errors are believed, by the tag in the header that they quote, which has to be there. */
function judgeMessage({ destination }: Flow, packet: Buffer, known: readonly TenantTag[]): Ruling {
  const quote = packet.subarray(QUOTE);
  if (quote.length < 36 || packet.readUInt16BE(2) < QUOTE + 36) return refuse('untagged');
  if (!ERRORS.includes(packet.readUInt8(20))) return refuse('untagged');
  const about = flowOf(quote);
  if (quote.readUInt8(0) >> 4 !== 4 || headerBytesOf(quote) < 36) return refuse('untagged');
  if (about.source !== destination || !own(destination)) return refuse('untagged');
  const tag = verifyTag(about, quote.subarray(20, 36), KEYS);
  if (typeof tag === 'string') return refuse(tag);
  if (!known.includes(tag.tenant)) return refuse('other_tenant');
  return { packet: aboutUntagged(packet), tenant: tag.tenant };
}

/** The error as if the quoted packet had never had a tag. */
function aboutUntagged(packet: Buffer): Buffer {
  const quote = packet.subarray(QUOTE);
  const quoted = Buffer.from(quote.subarray(0, 20));
  quoted.writeUInt8(quoted.readUInt8(0) - TAG_BYTES / 4, 0);
  quoted.writeUInt16BE((quoted.readUInt16BE(2) - TAG_BYTES) & 0xffff, 2);
  writeChecksum(quote.subarray(0, 36), quoted, 10);
  const message = Buffer.concat([withoutTag(packet.subarray(20, QUOTE)), quoted, quote.subarray(36)]);
  writeChecksum(packet.subarray(20), message, 2);
  const whole = Buffer.concat([packet.subarray(0, 20), message]);
  return withOptions(whole, 20, packet.readUInt16BE(2) - TAG_BYTES, 0, Buffer.alloc(0));
}

/** What the error itself says about the packet: how long it may be, where something is wrong, where its quote ends. */
function withoutTag(error: Buffer): Buffer {
  const copy = Buffer.from(error);
  const [type, code, , , pointer = 0, words = 0] = error;
  const mtu = error.readUInt16BE(6) - TAG_BYTES;
  if (type === 3 && code === 4 && mtu >= 68) copy.writeUInt16BE(mtu, 6);
  if (type === 12 && pointer >= 36) copy.writeUInt8(pointer - TAG_BYTES, 4);
  if (words * 4 > TAG_BYTES) copy.writeUInt8(words - TAG_BYTES / 4, 5);
  return copy;
}

/** What was right is right again; what was wrong is wrong by as much. */
function writeChecksum(before: Buffer, after: Buffer, at: number): void {
  const right = (bytes: Buffer): number => {
    const copy = Buffer.from(bytes);
    copy.writeUInt16BE(0, at);
    return internetChecksum(copy);
  };
  const wrongBy = 0xffff + before.readUInt16BE(at) - right(before);
  after.writeUInt16BE((right(after) + wrongBy) % 0xffff, at);
}

function headerBytesOf(packet: Buffer): number {
  return (packet.readUInt8(0) & 15) * 4;
}

/** @param change  how many bytes the header grows by */
function withOptions(
  packet: Buffer,
  payloadAt: number,
  total: number,
  change: number,
  options: Buffer,
): Buffer {
  const header = Buffer.concat([packet.subarray(0, 20), options]);
  const words = (headerBytesOf(packet) + change) / 4;
  header.writeUInt8((header.readUInt8(0) & 0xf0) | words, 0);
  header.writeUInt16BE(total, 2);
  header.writeUInt16BE(0, 10);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([header, packet.subarray(payloadAt)]);
}
