/** Packets that the fence must let through, and how they go on. */

import { ethernetFrame, internetChecksum } from '../../linux/frames.ts';
import type { Mac } from '../../model/addresses.ts';
import { BROADCAST, ETHERTYPE, extension, ipv4, ipv6, MORE_FRAGMENTS, PROTOCOL, udp } from '../frames.ts';
import {
  type AllowedCase,
  arpFromHost,
  arpOf,
  CONF,
  EXTERNAL_OWN,
  FOREIGN_MARK,
  fromOwn,
  GATEWAY,
  GATEWAY_MAC,
  INTERNET,
  ip,
  MARK,
  OTHER_MARK,
  OUTSIDER,
  OWN,
  OWN_MAC,
  onWire,
  REMOTE,
  routerError,
  sent,
  sentInTunnel,
  tag,
  tagged,
  toRemote,
  tunnelled,
  WIRE_MAC,
} from './world.ts';

const PORT_IN = { program: 'port_in', markAfter: MARK } as const;
const EXTERNAL_IN = { ...PORT_IN, port: 'external' } as const;
const WITH_IPV6 = { ...PORT_IN, allow: [ETHERTYPE.ipv6] } as const;
const PORT_OUT = { program: 'port_out', mark: MARK, markAfter: MARK } as const;
const UNMARKED_OUT = { program: 'port_out', mark: 0, markAfter: 0 } as const;
const UPLINK_OUT = { program: 'uplink_out', mark: MARK, markAfter: 0 } as const;
const UPLINK_IN = { program: 'uplink_in', mark: OTHER_MARK, markAfter: 0 } as const;

const toGroup = (address: string, mac: string): Buffer =>
  ethernetFrame(OWN_MAC, mac as Mac, ETHERTYPE.ipv4, ipv4({ source: OWN, destination: ip(address) }));
const arpFromWire = ethernetFrame(WIRE_MAC, BROADCAST, ETHERTYPE.arp, Buffer.alloc(28));

const RECORD_ROUTE = Buffer.from('070b04000000000000000000', 'hex');
const LONG = toRemote({ fragment: 0x4000 }, udp(1000, 2000, Buffer.alloc(700, 0x5a)));
/** What a router says, and what of it the container hears, whose packet was shorter by `bytes`. */
const QUOTES = [
  { name: 'too long', from: {}, to: (bytes: number) => ({ mtu: 1400 - bytes }) },
  { name: 'too long, from a router that does not know for whom', from: { mtu: 0 }, to: () => ({}) },
  { name: 'too old', from: { type: 11, code: 0, mtu: 0 }, to: () => ({}) },
  { name: 'unreachable', from: { type: 3, code: 1, mtu: 0 }, to: () => ({}) },
  { name: 'a parameter', from: { type: 12, code: 0, mtu: 0, pointer: 1 }, to: () => ({}) },
] as const;
/** Congestion notification of the packet, of the tunnel, and what the container gets (RFC 6040, figure 4). */
const CONGESTION = [
  ...[0, 1, 2].map((outer) => [0, outer, 0] as const),
  ...([
    [1, 0, 1],
    [1, 1, 1],
    [1, 2, 1],
    [1, 3, 3],
    [2, 0, 2],
    [2, 1, 1],
    [2, 2, 2],
    [2, 3, 3],
    [3, 0, 3],
    [3, 1, 3],
    [3, 2, 3],
    [3, 3, 3],
  ] as const),
];
/** A packet in the tunnel, whose outer header says otherwise than the inner about congestion. */
const underEcn = (inner: number, outer: number): Buffer => {
  const frame = tunnelled(onWire({ tos: 0xb8 | inner }));
  frame[15] = 0xb8 | outer;
  frame.writeUInt16BE(0, 24);
  frame.writeUInt16BE(internetChecksum(frame.subarray(14, 34)), 24);
  return frame;
};

export const ALLOWED: readonly AllowedCase[] = [
  { name: 'UDP to a neighbour', ...PORT_IN, packet: sent({}) },
  { name: 'a packet to another node', ...PORT_IN, packet: sent({ destination: REMOTE }) },
  { name: 'multicast', ...PORT_IN, packet: toGroup('224.0.0.251', '01:00:5e:00:00:fb') },
  { name: 'limited broadcast', ...PORT_IN, packet: toGroup('255.255.255.255', BROADCAST) },
  {
    name: 'a packet with padding behind it',
    ...PORT_IN,
    packet: Buffer.concat([sent({}), Buffer.alloc(20)]),
  },
  { name: 'a mark of its own, which is overwritten', ...PORT_IN, mark: OTHER_MARK, packet: sent({}) },
  {
    name: 'with a mark of somebody else beside ours, which stays',
    ...PORT_IN,
    mark: FOREIGN_MARK,
    markAfter: MARK + FOREIGN_MARK,
    packet: sent({}),
  },
  {
    name: 'a first fragment of 16 bytes',
    ...PORT_IN,
    packet: sent({ fragment: MORE_FRAGMENTS }, Buffer.alloc(16)),
  },
  { name: 'a later fragment', ...PORT_IN, packet: sent({ fragment: 2 }, Buffer.alloc(3)) },
  { name: 'a datagram without payload', ...PORT_IN, packet: sent({ protocol: 103 }, Buffer.alloc(0)) },
  ...[
    '0707040000000001',
    '4408050000000000',
    '94040000',
    '01010101',
    '00ffffff',
    `071704${'00'.repeat(20)}01`,
  ]
    .map((hex) => Buffer.from(hex.padEnd(Math.ceil(hex.length / 8) * 8, '0'), 'hex'))
    .map((options) => ({
      name: `options ${options.toString('hex')}`,
      ...PORT_IN,
      packet: sent({ options }),
    })),
  { name: 'an ARP request', ...PORT_IN, packet: arpOf({}) },
  { name: 'an ARP reply', ...PORT_IN, packet: arpOf({ operation: 'reply' }) },
  { name: 'an ARP announcement', ...PORT_IN, packet: arpOf({ targetIp: OWN }) },
  { name: 'an ARP probe', ...PORT_IN, packet: arpOf({ senderIp: ip('0.0.0.0'), targetIp: OWN }) },
  {
    name: 'the internet, externally',
    ...EXTERNAL_IN,
    packet: sent({ source: EXTERNAL_OWN, destination: INTERNET }),
  },
  {
    name: 'an allowed EtherType',
    ...PORT_IN,
    allow: [ETHERTYPE.experimental],
    packet: fromOwn(ETHERTYPE.experimental, Buffer.alloc(46)),
  },
  { name: 'IPv6 with UDP', ...WITH_IPV6, packet: fromOwn(ETHERTYPE.ipv6, ipv6(PROTOCOL.udp, udp(1, 2))) },
  {
    name: 'a neighbour advertisement',
    ...WITH_IPV6,
    packet: fromOwn(ETHERTYPE.ipv6, ipv6(PROTOCOL.icmpv6, Buffer.from([136, 0, 0, 0]))),
  },
  {
    name: 'a multicast listener report behind hop-by-hop options',
    ...WITH_IPV6,
    packet: fromOwn(ETHERTYPE.ipv6, ipv6(0, extension(PROTOCOL.icmpv6, Buffer.from([143, 0, 0, 0])))),
  },
  {
    name: 'a later IPv6 fragment',
    ...WITH_IPV6,
    packet: fromOwn(
      ETHERTYPE.ipv6,
      ipv6(44, Buffer.from([PROTOCOL.icmpv6, 0, 0x01, 0x00, 0, 0, 0, 1, 134, 0, 0, 0])),
    ),
  },

  { name: "the own tenant's packet", ...PORT_OUT, packet: sent({}) },
  {
    name: "the own tenant's unknown EtherType",
    ...PORT_OUT,
    packet: fromOwn(ETHERTYPE.experimental, Buffer.alloc(46)),
  },
  { name: "the gateway's ARP", ...UNMARKED_OUT, packet: arpFromHost(GATEWAY_MAC, GATEWAY) },
  { name: "the own tenant's packet, externally", ...PORT_OUT, port: 'external', packet: sent({}) },
  {
    name: 'a packet from the internet',
    ...UNMARKED_OUT,
    port: 'external',
    packet: sent({ source: INTERNET }),
  },

  {
    name: 'a packet to another node, which is tagged',
    ...UPLINK_OUT,
    packet: toRemote(),
    packetAfter: toRemote({ options: tag({ source: OWN, destination: REMOTE }) }),
  },
  {
    name: 'a later fragment to another node, which is tagged too',
    ...UPLINK_OUT,
    packet: toRemote({ fragment: 185 }),
    packetAfter: toRemote({ fragment: 185, options: tag({ source: OWN, destination: REMOTE }) }),
  },
  {
    name: 'a packet with options to another node, tagged before them',
    ...UPLINK_OUT,
    packet: toRemote({ options: RECORD_ROUTE }),
    packetAfter: toRemote({
      options: Buffer.concat([tag({ source: OWN, destination: REMOTE }), RECORD_ROUTE]),
    }),
  },
  {
    name: 'a translated packet to the internet',
    ...UPLINK_OUT,
    packet: toRemote({ source: OUTSIDER, destination: INTERNET }),
  },
  {
    name: "the host's own packet",
    ...UPLINK_OUT,
    mark: 0,
    packet: toRemote({ source: OUTSIDER, destination: INTERNET }),
  },
  { name: "the host's own ARP", ...UPLINK_OUT, packet: arpFromWire },

  {
    name: 'a rightly tagged packet',
    ...UPLINK_IN,
    markAfter: MARK,
    packet: onWire({ options: tag() }),
    packetAfter: onWire({}),
  },
  {
    name: 'a rightly tagged packet with options',
    ...UPLINK_IN,
    markAfter: MARK,
    packet: onWire({ options: Buffer.concat([tag(), RECORD_ROUTE]) }),
    packetAfter: onWire({ options: RECORD_ROUTE }),
  },
  ...QUOTES.map(({ name, ...error }) => ({
    name: `an ICMP error about a tagged packet: ${name}`,
    ...UPLINK_IN,
    markAfter: MARK,
    packet: routerError(tagged(LONG), error.from),
    packetAfter: routerError(LONG, { ...error.from, ...error.to(16), quoted: 548 - 16 }),
  })),
  ...QUOTES.map(({ name, ...error }) => ({
    name: `an ICMP error about a packet in the tunnel: ${name}`,
    ...UPLINK_IN,
    markAfter: MARK,
    packet: routerError(sentInTunnel(LONG), error.from),
    packetAfter: routerError(LONG, { ...error.from, ...error.to(50), quoted: 548 - 50 }),
  })),
  {
    name: 'an ICMP error about a tagged packet with options',
    ...UPLINK_IN,
    markAfter: MARK,
    packet: routerError(tagged(toRemote({ options: RECORD_ROUTE }))),
    packetAfter: routerError(toRemote({ options: RECORD_ROUTE }), { mtu: 1384 }),
  },
  {
    name: 'an ICMP error about a packet of the node itself',
    ...UPLINK_IN,
    packet: routerError(toRemote({ source: CONF.uplinkAddress, destination: INTERNET })),
  },
  {
    name: 'a rightly tagged later fragment',
    ...UPLINK_IN,
    markAfter: MARK,
    packet: onWire({ fragment: 185, options: tag() }),
    packetAfter: onWire({ fragment: 185 }),
  },
  {
    name: 'a packet in the tunnel',
    ...UPLINK_IN,
    markAfter: MARK,
    packet: tunnelled(onWire({})),
    packetAfter: onWire({}),
  },
  {
    name: 'a later fragment in the tunnel',
    ...UPLINK_IN,
    markAfter: MARK,
    packet: tunnelled(onWire({ fragment: 185 })),
    packetAfter: onWire({ fragment: 185 }),
  },
  {
    name: 'options of its own in the tunnel',
    ...UPLINK_IN,
    markAfter: MARK,
    packet: tunnelled(onWire({ options: Buffer.from('01010100', 'hex') })),
    packetAfter: onWire({ options: Buffer.from('01010100', 'hex') }),
  },
  {
    name: 'a later fragment of UDP for the host, whatever it looks like',
    ...UPLINK_IN,
    packet: onWire({ source: INTERNET, destination: CONF.uplinkAddress, fragment: 185 }, udp(1, 4789)),
  },
  {
    name: 'UDP for another port of the host',
    ...UPLINK_IN,
    packet: onWire({ source: INTERNET, destination: CONF.uplinkAddress }, udp(4789, 53)),
  },
  ...CONGESTION.map(([inner, outer, after]) => ({
    name: `ECN ${inner} in the tunnel under ${outer}`,
    ...UPLINK_IN,
    markAfter: MARK,
    packet: underEcn(inner, outer),
    packetAfter: onWire({ tos: 0xb8 | after }),
  })),
  {
    name: 'a packet for the host itself',
    ...UPLINK_IN,
    packet: onWire({ source: INTERNET, destination: OUTSIDER }),
  },
  {
    name: 'a packet for the host with options',
    ...UPLINK_IN,
    packet: onWire({ source: INTERNET, destination: OUTSIDER, options: Buffer.from('94040000', 'hex') }),
  },
  { name: 'ARP for the host', ...UPLINK_IN, packet: arpFromWire },
];
