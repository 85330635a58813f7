/** Packets that the node's uplink must refuse, by reason. */

import { ethernetFrame } from '../../linux/frames.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { markOf } from '../../model/mark.ts';
import { ETHERTYPE, ipv4, PROTOCOL } from '../frames.ts';
import {
  changed,
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
  tag,
  toRemote,
  WIRE_MAC,
} from './world.ts';

const UPLINK_OUT = { program: 'uplink_out', mark: MARK } as const;
const UPLINK_IN = { program: 'uplink_in' } as const;

const insideVlan0 = ethernetFrame(
  WIRE_MAC,
  WIRE_MAC,
  ETHERTYPE.vlan,
  Buffer.concat([Buffer.from('00000800', 'hex'), ipv4({ source: REMOTE, destination: OWN })]),
);
/** A rightly tagged packet from this address. */
const sourced = (source: Ipv4): Buffer => onWire({ source, options: tag({ source }) });

export const REFUSED_AT_UPLINKS: Refusals = {
  vlan: [{ name: 'a VLAN tag that hides behind VLAN 0', ...UPLINK_IN, packet: insideVlan0 }],
  ip_options: [
    {
      name: 'options on the way to the wire',
      ...UPLINK_OUT,
      packet: toRemote({ options: Buffer.from('01010100', 'hex') }),
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
  ],
  no_room: [
    {
      name: 'a packet that would be longer than IPv4 allows',
      ...UPLINK_OUT,
      packet: toRemote({ totalLength: 65_520 }),
    },
  ],
  tag_malformed: [
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
    {
      name: 'an option behind the tag',
      ...UPLINK_IN,
      packet: onWire({ options: Buffer.concat([tag(), Buffer.from('01010100', 'hex')]) }),
    },
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
  tag_version: [
    { name: 'version 2, its MAC right', ...UPLINK_IN, packet: onWire({ options: tag({ version: 2 }) }) },
  ],
  tag_epoch: [
    {
      name: 'an epoch without a key',
      ...UPLINK_IN,
      packet: onWire({ options: tag({ epoch: KEYLESS_EPOCH, secret: Buffer.alloc(16) }) }),
    },
  ],
  tag_forged: [
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
    ...Array.from({ length: 64 }, (_, bit) => ({
      name: `bit ${bit} of the MAC changed`,
      ...UPLINK_IN,
      packet: onWire({ options: changed(tag(), 8 + (bit >> 3), tag()[8 + (bit >> 3)]! ^ (1 << (bit & 7))) }),
    })),
  ],
};
