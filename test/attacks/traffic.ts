/** Frames that the attacks are made of, and the allowed ones they are compared with. */
import { randomBytes } from 'node:crypto';
import { setImmediate as breathe } from 'node:timers/promises';
import { ethernetFrame } from '../../linux/frames.ts';
import type { PacketSocket } from '../../linux/packet.ts';
import { type Mac, macToBytes } from '../../model/addresses.ts';
import type { TenantTag } from '../../model/names.ts';
import { encodeTag, type TagKey } from '../../tagqueue/wire.ts';
import { type ArpFields, arp, BROADCAST, ETHERTYPE, type Ipv4Fields, ipv4, PROTOCOL } from '../frames.ts';
import type { Nic, World } from './world.ts';

/** What somebody sent and somebody else must see. */
export interface Expected {
  readonly from: Nic;
  readonly to: Nic;
  readonly marker: Buffer;
  send(): void;
}

/** An allowed packet between two containers of one tenant: an echo reply, because nobody answers one. */
export function greeting(from: Nic, to: Nic): Expected {
  const marker = randomBytes(12);
  const bytes = packet(from, to, { protocol: PROTOCOL.icmp }, Buffer.concat([Buffer.alloc(8), marker]));
  return { from, to, marker, send: () => from.socket.send(bytes) };
}

/** An IPv4 frame from an interface to another, honest but for what is given. */
export function packet(from: Nic, to: Nic, fields: Partial<Ipv4Fields> = {}, payload?: Uint8Array): Buffer {
  const near = from.node === to.node;
  return frame(
    from,
    near ? to.mac : from.gatewayMac,
    ETHERTYPE.ipv4,
    ipv4({ source: from.address, destination: to.address, ...fields }, payload),
  );
}

export function frame(from: Pick<Nic, 'mac'>, to: Mac, type: number, payload: Uint8Array): Buffer {
  return ethernetFrame(from.mac, to, type, payload);
}

/** ARP, honest but for what is given. */
export function arpFrame(from: Nic, fields: Partial<ArpFields>, to: Mac = BROADCAST): Buffer {
  const honest = {
    operation: 'reply',
    senderMac: from.mac,
    senderIp: from.address,
    targetIp: from.gateway,
  } as const;
  return frame(from, to, ETHERTYPE.arp, arp({ ...honest, ...fields }));
}

export interface WireFields extends Partial<Ipv4Fields> {
  readonly tenant?: TenantTag;
  readonly key?: TagKey;
}

/** A packet as the node of `from` would put it on the wire, its tag included, but for what is given. */
export function tagged(
  { stranger, tags, key }: World,
  from: Nic,
  to: Nic,
  given: WireFields = {},
  payload?: Uint8Array,
): Buffer {
  const { tenant = tags.red, key: with_ = key, ...fields } = given;
  const flow = { source: from.address, destination: to.address, protocol: fields.protocol ?? PROTOCOL.udp };
  const options = encodeTag(flow, tenant, with_);
  return frame(
    stranger,
    stranger.uplinks[to.node],
    ETHERTYPE.ipv4,
    ipv4({ ...flow, options, ...fields }, payload),
  );
}

/** A frame whose bytes were changed after it was made. */
export function changed(bytes: Uint8Array, at: number, value: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = value;
  return copy;
}

export const replaceSource = (bytes: Buffer, mac: Mac): Buffer => {
  const copy = Buffer.from(bytes);
  copy.set(macToBytes(mac), 6);
  return copy;
};

const reserved = (last: number): Mac => `01:80:c2:00:00:0${last.toString(16)}` as Mac;
/** Of pauses and of LLDP: a bridge drops the former, and hands the latter to the port's own host without asking netfilter. */
export const UNASKED_GROUPS: readonly Mac[] = [reserved(1), reserved(0xe)];
/** The other groups that no bridge forwards (IEEE 802.1D): what is sent to them goes to the port's own host as well. */
export const BRIDGE_GROUPS: readonly Mac[] = Array.from({ length: 16 }, (_, i) => reserved(i)).filter(
  (group) => !UNASKED_GROUPS.includes(group),
);

/** The kernel queues at most so many frames for a CPU that is busy (net.core.netdev_max_backlog is 1000). */
const BURST = 128;

/** Sends all, with pauses, so that no queue overflows: a frame lost there would prove nothing. */
export async function sendPaced(socket: PacketSocket, frames: Iterable<Buffer>): Promise<void> {
  let sent = 0;
  for (const one of frames) {
    socket.send(one);
    sent += 1;
    if (sent % BURST === 0) await breathe();
  }
}

export const range = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));
