/** Frames of the carrier `vxlan`, as a node would send them and as it would not. */
import { ethernetFrame, internetChecksum } from '../../linux/frames.ts';
import type { Carrier } from '../../model/carrier.ts';
import { siphash24 } from '../../tagqueue/siphash.ts';
import { type Flow, type Tag, type TagKey, tokenInput } from '../../tagqueue/token.ts';
import { type TunnelEnds, tunnelPacket } from '../../tagqueue/wire-vxlan.ts';
import { ETHERTYPE, type Ipv4Fields, ipv4, PROTOCOL } from '../frames.ts';
import { TUNNEL_PORT } from './carriage.ts';
import type { Nic, World } from './world.ts';

const FORMAT = 1;
const SOURCE_PORT = 50_000;

/** Where what stands in a frame of the tunnel. Token: MAC of the tag, in two halves. */
export const AT = {
  ...{ outer: 14, udp: 34, udpLength: 38, udpChecksum: 40, vxlan: 42, vni: 46, reserved: 49 },
  ...{ destination: 50, epoch: 51, source: 56, version: 57, type: 62, inner: 64 },
} as const;
export const TOKEN_BYTES = [52, 53, 54, 55, 58, 59, 60, 61] as const;

/** What differs from the packet as the node of `from` would send it. */
export interface TunnelFields {
  /** Of the packet inside. */
  readonly inner?: Partial<Ipv4Fields>;
  readonly payload?: Uint8Array;
  readonly ends?: Partial<TunnelEnds>;
  /** In the headers and under the MAC. */
  readonly tag?: Partial<Omit<Tag, 'mac'>>;
  readonly key?: TagKey;
  /** Under the MAC only: what it was made for. */
  readonly signed?: Partial<Flow & { readonly carrier: Carrier }>;
}

/** From container to container of one tenant, red unless given. */
export function tunnelled(world: World, from: Nic, to: Nic, fields: TunnelFields = {}): Buffer {
  const { stranger } = world;
  return ethernetFrame(
    stranger.mac,
    stranger.uplinks[to.node],
    ETHERTYPE.ipv4,
    tunnelBetweenNodes(world, from, to, fields),
  );
}

/** The same from the outer IPv4 header on: what a container could put behind an Ethernet header of its own. */
export function tunnelBetweenNodes(world: World, from: Nic, to: Nic, fields: TunnelFields): Buffer {
  const { lab, tags } = world;
  const key = fields.key ?? world.key;
  const { carrier = 'vxlan', ...signed } = fields.signed ?? {};
  const header = { source: from.address, destination: to.address, protocol: PROTOCOL.udp, ...fields.inner };
  const tag = { version: FORMAT, epoch: key.epoch, tenant: tags.red, ...fields.tag };
  const mac = siphash24(key.secret, tokenInput({ ...header, ...signed }, tag, carrier));
  const ends = {
    source: lab.node(from.node).address,
    destination: lab.node(to.node).address,
    sourcePort: SOURCE_PORT,
    port: TUNNEL_PORT,
    ...fields.ends,
  };
  return tunnelPacket(ipv4(header, fields.payload), ends, { ...tag, mac });
}

/** Outer header and UDP say how long the frame is, and the outer checksum is right. */
export function mended(frame: Uint8Array): Buffer {
  const copy = Buffer.from(frame);
  copy.writeUInt16BE(copy.length - AT.outer, AT.outer + 2);
  if (copy.length >= AT.udpLength + 2) copy.writeUInt16BE(copy.length - AT.udp, AT.udpLength);
  return withRightSum(copy);
}

/** The outer checksum is right. */
export function withRightSum(frame: Uint8Array): Buffer {
  const copy = Buffer.from(frame);
  const headerBytes = (copy.readUInt8(AT.outer) & 15) * 4;
  copy.writeUInt16BE(0, AT.outer + 10);
  copy.writeUInt16BE(internetChecksum(copy.subarray(AT.outer, AT.outer + headerBytes)), AT.outer + 10);
  return copy;
}
