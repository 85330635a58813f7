/** The fence at the uplink once more, as plainly as it can be said, on top of tagqueue/wire.ts: what the planes are compared with. */
import { internetChecksum } from '../../linux/frames.ts';
import { cidrContains, type Ipv4, numberToIpv4 } from '../../model/addresses.ts';
import type { TenantTag } from '../../model/names.ts';
import { TAG_BYTES } from '../../tagqueue/options.ts';
import type { DropReason } from '../../tagqueue/reasons.ts';
import { encodeTag, type Flow, verifyTag } from '../../tagqueue/wire.ts';
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
  const flow: Flow = {
    source: numberToIpv4(packet.readUInt32BE(12)),
    destination: numberToIpv4(packet.readUInt32BE(16)),
    protocol: packet.readUInt8(9),
  };
  if (internal(flow.destination))
    return direction === 'out' ? judgeOut(flow, packet, tenant, known) : judgeIn(flow, packet, known);
  return internal(flow.source) ? refuse('internal_leak') : { packet, tenant: 0 };
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

function judgeIn(flow: Flow, packet: Buffer, known: readonly number[]): Ruling {
  const headerBytes = headerBytesOf(packet);
  const total = packet.readUInt16BE(2);
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
