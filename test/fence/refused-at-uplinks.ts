/** Packets that the node's uplink must refuse, by reason. */

import { ethernetFrame, internetChecksum } from '../../linux/frames.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { markOf } from '../../model/mark.ts';
import type { TenantTag } from '../../model/names.ts';
import { makeTag } from '../../tagqueue/token.ts';
import { optionOf } from '../../tagqueue/wire.ts';
import { ETHERTYPE, ipv4, PROTOCOL } from '../frames.ts';
import {
  changed,
  EPOCH,
  EXTERNAL_OWN,
  INTERNET,
  ip,
  KEYLESS_EPOCH,
  MARK,
  MARK_MASK,
  NEIGHBOUR,
  OTHER_TENANT,
  OUTSIDER,
  OWN,
  onWire,
  REMOTE,
  type Refusals,
  routerError,
  SECRET,
  sentInTunnel,
  TENANT,
  TUNNEL_ENDS,
  tag,
  tagged,
  toRemote,
  tunnelled,
  WIRE_MAC,
} from './world.ts';

/** An internal address that no node has. */
const NOBODY = ip('10.64.9.9');
const FLOW = { source: REMOTE, destination: OWN, protocol: PROTOCOL.udp };
const UPLINK_OUT = { program: 'uplink_out', mark: MARK } as const;
const TUNNEL_OUT = { ...UPLINK_OUT, carrier: 'vxlan' } as const;
const UPLINK_IN = { program: 'uplink_in' } as const;

const insideVlan0 = ethernetFrame(
  WIRE_MAC,
  WIRE_MAC,
  ETHERTYPE.vlan,
  Buffer.concat([Buffer.from('00000800', 'hex'), ipv4({ source: REMOTE, destination: OWN })]),
);
/** A packet in the tunnel, with one byte changed by `by`; `mended`: its outer header has a right checksum again. */
const spoilt = (at: number, by: number, { mended = false } = {}): Buffer => {
  const frame = tunnelled(onWire({}));
  frame[14 + at]! ^= by;
  if (mended) {
    frame.writeUInt16BE(0, 24);
    frame.writeUInt16BE(internetChecksum(frame.subarray(14, 34)), 24);
  }
  return frame;
};
/** A rightly tagged packet from this address. */
const sourced = (source: Ipv4): Buffer => onWire({ source, options: tag({ source }) });

export const REFUSED_AT_UPLINKS: Refusals = {
  vlan: [{ name: 'a VLAN tag that hides behind VLAN 0', ...UPLINK_IN, packet: insideVlan0 }],
  ip_options: [
    {
      name: 'options on the way to the wire',
      ...UPLINK_OUT,
      packet: toRemote({ options: Buffer.alloc(28, 1) }),
    },
    {
      name: 'options that are cut off, on the way to the wire',
      ...UPLINK_OUT,
      packet: toRemote({ options: Buffer.alloc(12, 1) }).subarray(0, 40),
    },
  ],
  untagged: [
    { name: 'IPv4 on the way to the wire', ...UPLINK_OUT, mark: 0, packet: toRemote() },
    {
      name: 'a mark that is no tenant, on the way to the wire',
      ...UPLINK_OUT,
      mark: markOf(9, MARK_MASK),
      packet: toRemote(),
    },
    { name: 'IPv4 from the wire', ...UPLINK_IN, packet: onWire({}) },
    {
      name: 'an ICMP error about a packet without tag',
      ...UPLINK_IN,
      packet: routerError(toRemote()),
      onlyReason: false,
    },
    {
      name: "an ICMP error about another's packet",
      ...UPLINK_IN,
      packet: routerError(tagged(toRemote({ source: NEIGHBOUR })), { to: OWN }),
    },
    {
      name: 'an ICMP error that quotes too little',
      ...UPLINK_IN,
      packet: routerError(tagged(toRemote()), { quoted: 28 }),
      onlyReason: false,
    },
    {
      name: 'an echo request from outside',
      ...UPLINK_IN,
      packet: routerError(tagged(toRemote()), { type: 8 }),
    },
    {
      name: 'an ICMP error about the tunnel that quotes too little',
      ...UPLINK_IN,
      packet: routerError(sentInTunnel(toRemote()), { quoted: 28 }),
      onlyReason: false,
    },
    {
      name: 'an ICMP error about a packet in the tunnel that this node cannot have sent',
      ...UPLINK_IN,
      packet: routerError(sentInTunnel(toRemote({ source: ip('10.64.8.8') }))),
    },
    {
      name: 'IPv4 from the wire with a mark of its own',
      ...UPLINK_IN,
      mark: MARK,
      packet: onWire({ source: OUTSIDER }),
    },
  ],
  foreign_source: [
    {
      name: "another node's address, to the wire",
      ...UPLINK_OUT,
      packet: toRemote({ source: ip('10.64.8.1') }),
    },
    { name: 'an external address, to the wire', ...UPLINK_OUT, packet: toRemote({ source: EXTERNAL_OWN }) },
    { name: 'an address outside the pool, rightly tagged', ...UPLINK_IN, packet: sourced(OUTSIDER) },
    { name: "one of this node's addresses, rightly tagged", ...UPLINK_IN, packet: sourced(NEIGHBOUR) },
    {
      name: 'an address outside the pool, in the tunnel',
      ...UPLINK_IN,
      packet: tunnelled(onWire({ source: OUTSIDER })),
    },
    {
      name: "one of this node's addresses, in the tunnel",
      ...UPLINK_IN,
      packet: tunnelled(onWire({ source: NEIGHBOUR })),
    },
  ],
  internal_leak: [
    {
      name: 'an internal address to the internet',
      ...UPLINK_OUT,
      packet: toRemote({ destination: INTERNET }),
    },
    {
      name: 'an internal address from the wire to the node itself',
      ...UPLINK_IN,
      packet: onWire({ destination: OUTSIDER }),
    },
  ],
  no_key: [
    { name: 'a packet to stamp without a key', ...UPLINK_OUT, epoch: KEYLESS_EPOCH, packet: toRemote() },
    { name: 'a packet for the tunnel', ...TUNNEL_OUT, epoch: KEYLESS_EPOCH, packet: toRemote() },
  ],
  no_room: [
    {
      name: 'a packet that would be longer than IPv4 allows',
      ...UPLINK_OUT,
      packet: toRemote({ totalLength: 65_520 }),
    },
    {
      name: 'a packet that would be longer than IPv4 allows in the tunnel',
      ...TUNNEL_OUT,
      packet: toRemote({ totalLength: 65_486 }),
    },
  ],
  tag_malformed: [
    {
      name: 'the VNI of nobody',
      ...UPLINK_IN,
      packet: tunnelled(onWire({}), { tag: { tenant: 0 as TenantTag } }),
      onlyReason: false,
    },
    { name: 'a length of 15', ...UPLINK_IN, packet: onWire({ options: changed(tag(), 1, 15) }) },
    {
      name: 'a reserved byte that is not zero',
      ...UPLINK_IN,
      packet: onWire({ options: changed(tag(), 4, 1) }),
    },
    {
      name: 'another option of that length',
      ...UPLINK_IN,
      packet: onWire({ options: changed(tag(), 0, 0x94) }),
    },
    ...Object.entries({
      'a source route behind the tag': '8307040a40080100',
      'an option behind the tag that is longer than the header': '07080400',
      'a tag behind the tag and another option': `01010101${tag().toString('hex')}`,
    }).map(([name, options]) => ({
      name,
      ...UPLINK_IN,
      packet: onWire({ options: Buffer.concat([tag(), Buffer.from(options, 'hex')]) }),
    })),
    {
      name: 'an option before the tag',
      ...UPLINK_IN,
      packet: onWire({ options: Buffer.concat([Buffer.from('01010101', 'hex'), tag()]) }),
      onlyReason: false,
    },
    { name: 'a tag on a tag', ...UPLINK_IN, packet: onWire({ options: Buffer.concat([tag(), tag()]) }) },
    {
      name: 'a total length that leaves no room for the tag',
      ...UPLINK_IN,
      packet: onWire({ options: tag(), totalLength: 35 }),
    },
    {
      name: 'a tag cut off',
      ...UPLINK_IN,
      packet: onWire({ options: tag() }).subarray(0, 49),
      onlyReason: false,
    },
    {
      name: 'a short option alone',
      ...UPLINK_IN,
      packet: onWire({ options: Buffer.from('01010100', 'hex') }),
      onlyReason: false,
    },
    {
      name: 'a header shorter than a header can be',
      ...UPLINK_IN,
      packet: onWire({ headerWords: 4 }),
      onlyReason: false,
    },
  ],
  tunnel_malformed: [
    { name: 'an outer header that is damaged', ...UPLINK_IN, packet: spoilt(8, 1) },
    { name: 'a first fragment', ...UPLINK_IN, packet: spoilt(6, 0x20, { mended: true }) },
    { name: 'longer than the frame', ...UPLINK_IN, packet: spoilt(2, 1, { mended: true }) },
    { name: 'shorter than what it carries', ...UPLINK_IN, packet: spoilt(3, 1, { mended: true }) },
    { name: 'a UDP length of its own', ...UPLINK_IN, packet: spoilt(25, 1) },
    { name: 'a UDP checksum', ...UPLINK_IN, packet: spoilt(27, 1) },
    { name: 'no VNI', ...UPLINK_IN, packet: spoilt(28, 0x08) },
    { name: 'a flag of an extension', ...UPLINK_IN, packet: spoilt(28, 0x80) },
    { name: 'a group of the group policy extension', ...UPLINK_IN, packet: spoilt(31, 1) },
    { name: 'a reserved byte behind the VNI', ...UPLINK_IN, packet: spoilt(35, 1) },
    { name: 'an inner destination that is no unicast', ...UPLINK_IN, packet: spoilt(36, 1) },
    { name: 'an inner source that is no unicast', ...UPLINK_IN, packet: spoilt(42, 1) },
    { name: 'an inner EtherType that is not IPv4', ...UPLINK_IN, packet: spoilt(49, 6) },
    { name: 'an inner header of another version', ...UPLINK_IN, packet: spoilt(50, 0x20) },
    { name: 'an inner header of 16 bytes', ...UPLINK_IN, packet: spoilt(50, 1) },
    { name: 'an inner length of its own', ...UPLINK_IN, packet: spoilt(53, 1) },
    {
      name: 'options in the outer header',
      ...UPLINK_IN,
      packet: onWire(
        {
          source: TUNNEL_ENDS.source,
          destination: TUNNEL_ENDS.destination,
          options: Buffer.from('01010100', 'hex'),
        },
        tunnelled(onWire({})).subarray(34),
      ),
      onlyReason: false,
    },
    {
      name: 'too short for a tunnel',
      ...UPLINK_IN,
      packet: tunnelled(onWire({})).subarray(0, 14 + 69),
      onlyReason: false,
    },
    {
      name: 'congestion noted on a packet that could not tell',
      ...UPLINK_IN,
      packet: spoilt(1, 3, { mended: true }),
    },
  ],
  tunnel_peer: [
    {
      name: 'from a stranger, all else right',
      ...UPLINK_IN,
      packet: tunnelled(onWire({}), { ends: { source: OUTSIDER } }),
    },
    { name: 'to an address that no node has', ...TUNNEL_OUT, packet: toRemote({ destination: NOBODY }) },
  ],
  tunnel_destination: [
    {
      name: 'for a third node',
      ...UPLINK_IN,
      packet: tunnelled(onWire({ destination: NOBODY })),
    },
    {
      name: 'for the internet',
      ...UPLINK_IN,
      packet: tunnelled(onWire({ destination: INTERNET })),
    },
  ],
  tag_version: [
    {
      name: 'version 2 in the tunnel, its MAC right',
      ...UPLINK_IN,
      packet: tunnelled(onWire({}), { tag: { version: 2 } }),
    },
    { name: 'version 2, its MAC right', ...UPLINK_IN, packet: onWire({ options: tag({ version: 2 }) }) },
  ],
  tag_epoch: [
    {
      name: 'an epoch without a key in the tunnel',
      ...UPLINK_IN,
      packet: tunnelled(onWire({}), { tag: { epoch: KEYLESS_EPOCH }, secret: Buffer.alloc(16) }),
    },
    {
      name: 'an epoch without a key',
      ...UPLINK_IN,
      packet: onWire({ options: tag({ epoch: KEYLESS_EPOCH, secret: Buffer.alloc(16) }) }),
    },
  ],
  tag_forged: [
    {
      name: 'an ICMP error with a forged tag in its quote',
      ...UPLINK_IN,
      packet: routerError(tagged(toRemote(), { secret: Buffer.alloc(16, 1) })),
    },
    {
      name: 'an ICMP error with forged tunnel headers in its quote',
      ...UPLINK_IN,
      packet: routerError(sentInTunnel(toRemote(), { secret: Buffer.alloc(16, 1) })),
    },
    {
      name: 'a MAC of zeros',
      ...UPLINK_IN,
      packet: onWire({ options: Buffer.concat([tag().subarray(0, 8), Buffer.alloc(8)]) }),
    },
    { name: 'another key', ...UPLINK_IN, packet: onWire({ options: tag({ secret: Buffer.alloc(16, 1) }) }) },
    {
      name: 'another tenant',
      ...UPLINK_IN,
      packet: onWire({ options: changed(changed(tag(), 6, OTHER_TENANT >> 8), 7, OTHER_TENANT & 0xff) }),
    },
    {
      name: 'the tag of another source',
      ...UPLINK_IN,
      packet: onWire({ options: tag({ source: ip('10.64.4.10') }) }),
    },
    {
      name: 'the tag of another destination',
      ...UPLINK_IN,
      packet: onWire({ options: tag({ destination: NEIGHBOUR }) }),
    },
    {
      name: 'the tag of another protocol',
      ...UPLINK_IN,
      packet: onWire({ protocol: PROTOCOL.tcp, options: tag() }),
    },
    {
      name: 'another key, in the tunnel',
      ...UPLINK_IN,
      packet: tunnelled(onWire({}), { secret: Buffer.alloc(16, 1) }),
    },
    {
      name: 'the tag of another source, in the tunnel',
      ...UPLINK_IN,
      packet: tunnelled(onWire({}), { flow: { source: ip('10.64.4.10') } }),
    },
    {
      name: 'the tag of another destination, in the tunnel',
      ...UPLINK_IN,
      packet: tunnelled(onWire({}), { flow: { destination: NEIGHBOUR } }),
    },
    {
      name: 'the tag of another protocol, in the tunnel',
      ...UPLINK_IN,
      packet: tunnelled(onWire({}), { flow: { protocol: PROTOCOL.tcp } }),
    },
    {
      name: 'the tag of an option, in the tunnel',
      ...UPLINK_IN,
      packet: tunnelled(onWire({}), { carrier: 'option' }),
    },
    {
      name: 'the tag of the tunnel, in an option',
      ...UPLINK_IN,
      packet: onWire({ options: optionOf(makeTag(FLOW, TENANT, { epoch: EPOCH, secret: SECRET }, 'vxlan')) }),
    },
    {
      name: 'another tenant, in the tunnel',
      ...UPLINK_IN,
      packet: spoilt(33, 0x01),
      onlyReason: false,
    },
    ...Array.from({ length: 64 }, (_, bit) => ({
      name: `bit ${bit} of the MAC changed, in the tunnel`,
      ...UPLINK_IN,
      packet: spoilt((bit < 32 ? 38 : 40) + (bit >> 3), 1 << (bit & 7)),
    })),
    ...Array.from({ length: 64 }, (_, bit) => ({
      name: `bit ${bit} of the MAC changed`,
      ...UPLINK_IN,
      packet: onWire({ options: changed(tag(), 8 + (bit >> 3), tag()[8 + (bit >> 3)]! ^ (1 << (bit & 7))) }),
    })),
  ],
};
