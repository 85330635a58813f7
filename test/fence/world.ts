/** A small world for tests of the fence: two tenants, a node's blocks, a key, and the shapes of test cases. */

import { ethernetFrame, internetChecksum } from '../../linux/frames.ts';
import {
  type Cidr,
  type Ipv4,
  type Ipv6,
  ipv6In,
  type Mac,
  macOfAddress,
  numberToIpv4,
  type Pool6,
} from '../../model/addresses.ts';
import type { Carrier } from '../../model/carrier.ts';
import { DEFAULT_MARK_MASK, markOf } from '../../model/mark.ts';
import type { KeyEpoch, TenantTag } from '../../model/names.ts';
import type { AccountId } from '../../model/usage.ts';
import type { PlaneConf, PortBinding, ProgramName } from '../../tagqueue/maps.ts';
import type { DropReason } from '../../tagqueue/reasons.ts';
import { siphash24 } from '../../tagqueue/siphash.ts';
import { makeTag, type Tag, tokenInput } from '../../tagqueue/token.ts';
import { encodeTag, type Flow, macInput } from '../../tagqueue/wire.ts';
import { type TunnelEnds, tunnelPacket } from '../../tagqueue/wire-vxlan.ts';
import { type ArpFields, arp, BROADCAST, ETHERTYPE, type Ipv4Fields, ipv4, PROTOCOL } from '../frames.ts';

export const TENANT = 0x00b1e5 as TenantTag;
export const OTHER_TENANT = 0x00bad1 as TenantTag;
/** The tenants' marks on this node: indexes 1 and 2 of the mask, beside a bit that somebody else has set. */
export const MARK_MASK = DEFAULT_MARK_MASK;
export const MARK = markOf(1, MARK_MASK);
export const OTHER_MARK = markOf(2, MARK_MASK);
export const FOREIGN_MARK = 0x4000;
export const EPOCH = 7 as KeyEpoch;
export const KEYLESS_EPOCH = 9 as KeyEpoch;
export const SECRET = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');

export const ip = (text: string): Ipv4 => text as Ipv4;
export const OWN = ip('10.64.0.7');
export const NEIGHBOUR = ip('10.64.0.8');
export const GATEWAY = ip('10.64.0.1');
export const REMOTE = ip('10.64.4.9');
export const EXTERNAL_OWN = ip('10.80.0.7');
export const INTERNET = ip('198.51.100.3');
export const OUTSIDER = ip('203.0.113.66');
export const OWN_MAC = macOfAddress(OWN);
export const NEIGHBOUR_MAC = macOfAddress(NEIGHBOUR);
export const GATEWAY_MAC = macOfAddress(GATEWAY);
export const WIRE_MAC = '02:00:00:00:00:01' as Mac;

export const CONF: PlaneConf = {
  internalPool: '10.64.0.0/12' as Cidr,
  ownBlock: '10.64.0.0/22' as Cidr,
  epoch: EPOCH,
  markMask: MARK_MASK,
  uplink: 1,
  uplinkAddress: ip('192.0.2.1'),
  carrier: 'option',
  card: false,
  vxlanPort: 4789,
  fastPath: false,
  pool6: undefined,
};
/** Of cases with dual stack. */
export const POOL6 = 'fd5c:51:ce::/96' as Pool6;
export const six = (address: Ipv4): Ipv6 => ipv6In(POOL6, address);

/** The other node, and its block. */
export const PEER = { node: ip('192.0.2.2'), nextHop: ip('192.0.2.2') };
export const PEER_BLOCK = '10.64.4.0/22' as Cidr;
export const KEYS: ReadonlyMap<KeyEpoch, Buffer> = new Map([[EPOCH, SECRET]]);
const OWNED = { tag: TENANT, mark: MARK, ifindex: 1, dualStack: false, outClass: 0, inClass: 0 } as const;
export const PORTS: Readonly<Record<'internal' | 'external', PortBinding>> = {
  internal: {
    ...OWNED,
    account: 0x1111_2222_3333_4444n as AccountId,
    side: 'internal',
    address: OWN,
    mac: OWN_MAC,
    gateway: GATEWAY,
    gatewayMac: GATEWAY_MAC,
  },
  external: {
    ...OWNED,
    account: 0x5555_6666_7777_8888n as AccountId,
    side: 'external',
    address: EXTERNAL_OWN,
    mac: OWN_MAC,
    gateway: ip('10.80.0.1'),
    gatewayMac: GATEWAY_MAC,
  },
};

/** A packet, the program that sees it, and the state of the node it comes to. */
export interface Case {
  readonly name: string;
  readonly program: ProgramName;
  readonly packet: Buffer;
  /** The mark it arrives with; 0 by default. */
  readonly mark?: number;
  /** What the interface is bound to; internal by default. */
  readonly port?: 'internal' | 'external' | 'unbound';
  /** EtherTypes the operator allows besides IPv4 and ARP. */
  readonly allow?: readonly number[];
  /** The epoch to stamp with, when not the usual one. */
  readonly epoch?: KeyEpoch;
  /** What is sent; the option by default. */
  readonly carrier?: Carrier;
  /** Whether there are internal IPv6 addresses, and the port has one. */
  readonly dualStack?: true;
}

export interface RefusedCase extends Case {
  /** False where another check stands behind the one for this reason, so that leaving it out opens nothing. */
  readonly onlyReason?: false;
}

export type Refusals = Readonly<Partial<Record<DropReason, readonly RefusedCase[]>>>;

export interface AllowedCase extends Case {
  readonly markAfter: number;
  /** The packet as it goes on; unchanged by default. */
  readonly packetAfter?: Buffer;
}

/** A frame as the container sends it. */
export const fromOwn = (type: number, payload: Uint8Array, destination: Mac = NEIGHBOUR_MAC): Buffer =>
  ethernetFrame(OWN_MAC, destination, type, payload);
/** An IPv4 packet from the container to its neighbour, but for what is given. */
export const sent = (fields: Partial<Ipv4Fields>, payload?: Uint8Array): Buffer =>
  fromOwn(ETHERTYPE.ipv4, ipv4({ source: OWN, destination: NEIGHBOUR, ...fields }, payload));
/** An IPv4 packet from the other node to the container, but for what is given. */
export const onWire = (fields: Partial<Ipv4Fields>, payload?: Uint8Array): Buffer =>
  ethernetFrame(
    WIRE_MAC,
    WIRE_MAC,
    ETHERTYPE.ipv4,
    ipv4({ source: REMOTE, destination: OWN, ...fields }, payload),
  );
/** The container asks for its neighbour's address, but for what is given. */
export const arpOf = (fields: Partial<ArpFields>): Buffer =>
  fromOwn(
    ETHERTYPE.arp,
    arp({ operation: 'request', senderMac: OWN_MAC, senderIp: OWN, targetIp: NEIGHBOUR, ...fields }),
    BROADCAST,
  );
/** The host claims an address. */
export const arpFromHost = (mac: Mac, address: Ipv4): Buffer =>
  ethernetFrame(
    mac,
    OWN_MAC,
    ETHERTYPE.arp,
    arp({ operation: 'reply', senderMac: mac, senderIp: address, targetIp: OWN }),
  );
/** The tag of a packet from the wire; whatever is given differs from the right one, under a MAC that fits it. */
export function tag(
  given: Partial<Flow> & { epoch?: KeyEpoch; secret?: Uint8Array; version?: number; tenant?: TenantTag } = {},
): Buffer {
  const flow = { source: REMOTE, destination: OWN, protocol: PROTOCOL.udp, ...given };
  const secret = given.secret ?? SECRET;
  const option = encodeTag(flow, given.tenant ?? TENANT, { epoch: given.epoch ?? EPOCH, secret });
  option[2] = given.version ?? 1;
  option.set(siphash24(secret, macInput(flow, option)), 8);
  return option;
}

/** Node to node, as the flow hash of a UDP packet of this world would not have it: the port is not under the MAC. */
export const TUNNEL_ENDS: TunnelEnds = {
  source: PEER.node,
  destination: CONF.uplinkAddress,
  sourcePort: 50_000,
  port: CONF.vxlanPort,
};
/** The same packet in the tunnel, its outer Ethernet header that of the wire; what is given differs, under a MAC that fits. */
export function tunnelled(
  frame: Buffer,
  given: {
    ends?: Partial<TunnelEnds>;
    tag?: Partial<Tag>;
    secret?: Uint8Array;
    carrier?: Carrier;
    flow?: Partial<Flow>;
  } = {},
): Buffer {
  const inner = frame.subarray(14);
  const flow = {
    source: numberToIpv4(inner.readUInt32BE(12)),
    destination: numberToIpv4(inner.readUInt32BE(16)),
    protocol: inner.readUInt8(9),
    ...given.flow,
  };
  const secret = given.secret ?? SECRET;
  const right = makeTag(flow, TENANT, { epoch: EPOCH, secret }, 'vxlan');
  const unsigned = { ...right, ...given.tag };
  const mac = given.tag?.mac ?? siphash24(secret, tokenInput(flow, unsigned, given.carrier ?? 'vxlan'));
  const packet = tunnelPacket(inner, { ...TUNNEL_ENDS, ...given.ends }, { ...unsigned, mac });
  return Buffer.concat([frame.subarray(0, 14), packet]);
}

/** A copy with one byte changed. */
export function changed(bytes: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = value;
  return copy;
}

/** An IPv4 packet from the container on its way to the other node, but for what is given. */
export const toRemote = (fields: Partial<Ipv4Fields> = {}, payload?: Uint8Array): Buffer =>
  onWire({ source: OWN, destination: REMOTE, ...fields }, payload);

/** The same packet on its way from this node, with its tag on. */
export function tagged(frame: Buffer, given: { secret?: Uint8Array } = {}): Buffer {
  const inner = frame.subarray(14);
  const [source, destination] = [12, 16].map((at) => numberToIpv4(inner.readUInt32BE(at)));
  const header = (inner.readUInt8() & 15) * 4;
  const flow = { source: source as Ipv4, destination: destination as Ipv4, protocol: inner.readUInt8(9) };
  const options = Buffer.concat([tag({ ...flow, ...given }), inner.subarray(20, header)]);
  return withOptions(frame, options);
}

/** The same packet with other options, its lengths and checksum right. */
function withOptions(frame: Buffer, options: Buffer): Buffer {
  const inner = frame.subarray(14);
  const header = (inner.readUInt8() & 15) * 4;
  const copy = Buffer.concat([frame.subarray(0, 34), options, inner.subarray(header)]);
  copy[14] = 0x40 | (5 + options.length / 4);
  copy.writeUInt16BE(copy.length - 14, 16);
  copy.writeUInt16BE(0, 24);
  copy.writeUInt16BE(internetChecksum(copy.subarray(14, 34 + options.length)), 24);
  return copy;
}

/** The same packet on its way from this node in the tunnel. */
export const sentInTunnel = (frame: Buffer, given: { secret?: Uint8Array } = {}): Buffer =>
  tunnelled(frame, { ...given, ends: { source: CONF.uplinkAddress, destination: PEER.node } });

/** An ICMP error of a router in the middle about a frame that passed it; by default that it is too long. */
export function routerError(
  about: Buffer,
  {
    type = 3,
    code = 4,
    mtu = 1400,
    pointer = 0,
    quoted = 548,
    to,
  }: { type?: number; code?: number; mtu?: number; pointer?: number; quoted?: number; to?: Ipv4 } = {},
): Buffer {
  const packet = about.subarray(14);
  const message = Buffer.concat([Buffer.alloc(8), packet.subarray(0, quoted)]);
  message.set([type, code]);
  message[4] = pointer;
  message.writeUInt16BE(mtu, 6);
  message.writeUInt16BE(internetChecksum(message), 2);
  const destination = to ?? numberToIpv4(packet.readUInt32BE(12));
  return onWire({ source: OUTSIDER, destination, protocol: PROTOCOL.icmp }, message);
}
