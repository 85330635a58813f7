/** IPv6 packets between containers with dual stack: those that must be refused, by reason, and those that pass. */
import { ethernetFrame } from '../../linux/frames.ts';
import type { Ipv6 } from '../../model/addresses.ts';
import type { TenantTag } from '../../model/names.ts';
import { siphash24 } from '../../tagqueue/siphash.ts';
import { type Carriage, makeTag, type Tag, tokenInput } from '../../tagqueue/token.ts';
import { tunnelPacket } from '../../tagqueue/wire-vxlan.ts';
import { flowOf6, withTag6 } from '../../tagqueue/wire6.ts';
import { ETHERTYPE, extension, ipv6Between, neighbourMessage, PROTOCOL, udp } from '../frames.ts';
import {
  type AllowedCase,
  changed,
  EPOCH,
  fromOwn,
  ip,
  KEYLESS_EPOCH,
  MARK,
  NEIGHBOUR,
  OTHER_TENANT,
  OWN,
  REMOTE,
  type Refusals,
  SECRET,
  six,
  TENANT,
  TUNNEL_ENDS,
  WIRE_MAC,
} from './world.ts';

const PORT_IN = { program: 'port_in', dualStack: true } as const;
const UPLINK_OUT = { program: 'uplink_out', mark: MARK, dualStack: true } as const;
const UPLINK_IN = { program: 'uplink_in', dualStack: true } as const;
const ALL_NODES = 'ff02::1' as Ipv6;
const UNSPECIFIED = '::' as Ipv6;
/** EUI-64 of 02:5c:0a:40:00:07 and :08. */
const OWN_LOCAL = 'fe80::5c:aff:fe40:7' as Ipv6;
const NEIGHBOUR_LOCAL = 'fe80::5c:aff:fe40:8' as Ipv6;
const ELSEWHERE = '2001:db8::7' as Ipv6;
/** The same low bits in another prefix. */
const OTHER_POOL = 'fd5c:51:cf::a40:7' as Ipv6;
const OUT_OF_POOL = 'fd5c:51:ce::b00:7' as Ipv6;
const NOBODY = ip('10.64.9.9');
const [SOLICITATION, ADVERTISEMENT, REPORT] = [135, 136, 143];

const sent = (source: Ipv6, destination: Ipv6, next?: number, payload?: Buffer): Buffer =>
  fromOwn(ETHERTYPE.ipv6, ipv6Between(source, destination, next, payload));
const discovers = (type: number, target: Ipv6, source: Ipv6 = six(OWN)): Buffer =>
  sent(source, ALL_NODES, PROTOCOL.icmpv6, neighbourMessage(type, target));
/** The first one of several. */
const fragment = (next: number, payload: Buffer): Buffer =>
  sent(six(OWN), ALL_NODES, 44, Buffer.concat([Buffer.from([next, 0, 0, 1, 0, 0, 0, 7]), payload]));
/** Behind what the packet's length says. */
const padded = (frame: Buffer, padding: Buffer): Buffer => Buffer.concat([frame, padding]);
const ECHO_REQUEST = Buffer.from([128, 0, 0, 0, 0, 0, 0, 1]);
const onWire = (packet: Buffer): Buffer => ethernetFrame(WIRE_MAC, WIRE_MAC, ETHERTYPE.ipv6, packet);
const inTunnel = (packet: Buffer): Buffer => ethernetFrame(WIRE_MAC, WIRE_MAC, ETHERTYPE.ipv4, packet);

interface Given {
  readonly source?: Ipv6;
  readonly destination?: Ipv6;
  readonly tag?: Partial<Tag>;
  readonly carriage?: Carriage;
  readonly ends?: Partial<typeof TUNNEL_ENDS>;
  readonly trafficClass?: number;
}
/** What is given differs, under a MAC that fits it. */
function signed(packet: Buffer, given: Given, carriage: Carriage): Tag {
  const unsigned = {
    ...makeTag(flowOf6(packet), TENANT, { epoch: EPOCH, secret: SECRET }, carriage),
    ...given.tag,
  };
  const input = tokenInput(flowOf6(packet), unsigned, given.carriage ?? carriage);
  return { ...unsigned, mac: given.tag?.mac ?? siphash24(SECRET, input) };
}
const between = ({ source = six(REMOTE), destination = six(OWN), trafficClass }: Given): Buffer =>
  ipv6Between(source, destination, PROTOCOL.udp, udp(1000, 2000), trafficClass);
const tagged = (given: Given = {}): Buffer =>
  onWire(withTag6(between(given), signed(between(given), given, 'option6')));
const tunnelled = (given: Given = {}): Buffer =>
  inTunnel(
    tunnelPacket(between(given), { ...TUNNEL_ENDS, ...given.ends }, signed(between(given), given, 'vxlan6')),
  );
const arrives = (given: Given): Buffer => onWire(between(given));
const AT_TAG = 14 + 40;
const AT_INNER = 14 + 50;
const forgedMac = { mac: Buffer.alloc(8, 1) };

export const REFUSED_IPV6: Refusals = {
  malformed: [
    {
      name: 'IPv6 that is longer than its frame',
      ...PORT_IN,
      packet: changed(sent(six(OWN), six(NEIGHBOUR)), 14 + 5, 200),
    },
    { name: 'version 4 in IPv6', ...PORT_IN, packet: changed(sent(six(OWN), six(NEIGHBOUR)), 14, 0x40) },
  ],
  rogue_router: [
    { name: 'a router advertisement with dual stack', ...PORT_IN, packet: discovers(134, six(OWN)) },
    { name: 'a redirect with dual stack', ...PORT_IN, packet: discovers(137, six(OWN)) },
    {
      // The next fragment brings the real one.
      name: 'a first fragment whose ICMPv6 header is padding',
      ...PORT_IN,
      packet: padded(fragment(60, extension(PROTOCOL.icmpv6, Buffer.alloc(0))), ECHO_REQUEST),
    },
    {
      name: 'a first fragment whose further headers are padding',
      ...PORT_IN,
      packet: padded(fragment(60, extension(60, Buffer.alloc(0))), extension(PROTOCOL.udp, udp(1, 2))),
    },
  ],
  ip_options: [
    {
      name: 'a tag for IPv6 of the container itself',
      ...PORT_IN,
      packet: fromOwn(
        ETHERTYPE.ipv6,
        withTag6(
          ipv6Between(six(OWN), six(NEIGHBOUR)),
          signed(ipv6Between(six(OWN), six(NEIGHBOUR)), {}, 'option6'),
        ),
      ),
    },
    {
      name: 'a routing header',
      ...PORT_IN,
      packet: sent(six(OWN), six(NEIGHBOUR), 43, extension(PROTOCOL.udp, udp(1, 2))),
    },
  ],
  source_ip: [
    ...(
      [
        ["the neighbour's", six(NEIGHBOUR)],
        ['a global', ELSEWHERE],
        ['the own, in another prefix,', OTHER_POOL],
        ['the own link-local', OWN_LOCAL],
        ["the neighbour's link-local", NEIGHBOUR_LOCAL],
        ['no', UNSPECIFIED],
        ['the mapped own', `::ffff:${OWN}` as Ipv6],
      ] as const
    ).map(([whose, source]) => ({
      name: `IPv6 from ${whose} address`,
      ...PORT_IN,
      packet: sent(source, six(NEIGHBOUR)),
    })),
    {
      name: "a question from the neighbour's link-local address",
      ...PORT_IN,
      packet: discovers(SOLICITATION, six(OWN), NEIGHBOUR_LOCAL),
    },
    {
      name: 'an echo request from the own link-local address',
      ...PORT_IN,
      packet: discovers(128, six(OWN), OWN_LOCAL),
    },
    {
      name: 'a later fragment from the own link-local address',
      ...PORT_IN,
      packet: sent(
        OWN_LOCAL,
        six(NEIGHBOUR),
        44,
        Buffer.from([PROTOCOL.icmpv6, 0, 1, 0, 0, 0, 0, 1, 135, 0, 0, 0]),
      ),
    },
  ],
  arp_spoof: [
    {
      name: "an advertisement of the neighbour's address",
      ...PORT_IN,
      packet: discovers(ADVERTISEMENT, six(NEIGHBOUR)),
    },
    {
      name: "an advertisement of the gateway's link-local address, from the own",
      ...PORT_IN,
      packet: discovers(ADVERTISEMENT, NEIGHBOUR_LOCAL, OWN_LOCAL),
    },
    {
      name: 'an advertisement behind destination options',
      ...PORT_IN,
      packet: sent(
        six(OWN),
        ALL_NODES,
        60,
        extension(PROTOCOL.icmpv6, neighbourMessage(ADVERTISEMENT, six(NEIGHBOUR))),
      ),
    },
    {
      name: 'a first fragment of an advertisement whose target is padding',
      ...PORT_IN,
      packet: padded(
        fragment(PROTOCOL.icmpv6, neighbourMessage(ADVERTISEMENT, six(OWN)).subarray(0, 8)),
        neighbourMessage(ADVERTISEMENT, six(OWN)).subarray(8),
      ),
    },
    {
      name: 'an advertisement that is cut off',
      ...PORT_IN,
      packet: sent(six(OWN), ALL_NODES, PROTOCOL.icmpv6, Buffer.from([ADVERTISEMENT, 0, 0, 0])),
    },
    {
      name: "duplicate detection of the neighbour's address",
      ...PORT_IN,
      packet: discovers(SOLICITATION, six(NEIGHBOUR), UNSPECIFIED),
    },
  ],
  not_internal: [
    { name: 'IPv6 to the world', ...PORT_IN, packet: sent(six(OWN), ELSEWHERE) },
    { name: 'IPv6 to another prefix', ...PORT_IN, packet: sent(six(OWN), OTHER_POOL) },
    { name: 'IPv6 to no address of the IPv4 pool', ...PORT_IN, packet: sent(six(OWN), OUT_OF_POOL) },
  ],
  untagged: [
    {
      name: 'IPv6 without a mark',
      ...UPLINK_OUT,
      mark: 0,
      packet: onWire(ipv6Between(six(OWN), six(REMOTE))),
    },
    { name: 'IPv6 from the wire without a tag', ...UPLINK_IN, packet: arrives({}) },
    { name: 'IPv6 from the world to a container', ...UPLINK_IN, packet: arrives({ source: ELSEWHERE }) },
  ],
  internal_leak: [
    { name: 'IPv6 on its way out', ...UPLINK_OUT, packet: onWire(ipv6Between(six(OWN), ELSEWHERE)) },
    { name: 'internal IPv6 for the node', ...UPLINK_IN, packet: arrives({ destination: ELSEWHERE }) },
  ],
  foreign_source: [
    {
      name: "IPv6 from another node's block, on its way out",
      ...UPLINK_OUT,
      packet: onWire(ipv6Between(six(REMOTE), six(REMOTE))),
    },
    {
      name: 'IPv6 from another prefix, on its way out',
      ...UPLINK_OUT,
      packet: onWire(ipv6Between(OTHER_POOL, six(REMOTE))),
    },
    { name: 'tagged IPv6 from nobody', ...UPLINK_IN, packet: tagged({ source: six(NOBODY) }) },
    {
      name: 'tagged IPv6 from another prefix',
      ...UPLINK_IN,
      packet: tagged({ source: 'fd5c:51:cf::a40:409' as Ipv6 }),
    },
    {
      name: 'IPv6 in the tunnel from nobody',
      ...UPLINK_IN,
      packet: tunnelled({ source: six(NOBODY) }),
      // Who has no route has no node either.
      onlyReason: false,
    },
    {
      name: 'IPv6 in the tunnel from another prefix',
      ...UPLINK_IN,
      packet: tunnelled({ source: 'fd5c:51:cf::a40:409' as Ipv6 }),
    },
  ],
  no_key: [
    {
      name: 'IPv6 under an epoch without a key',
      ...UPLINK_OUT,
      epoch: KEYLESS_EPOCH,
      packet: onWire(ipv6Between(six(OWN), six(REMOTE))),
    },
  ],
  tag_malformed: [
    ...(
      [
        ['another length', 1, 2],
        ['another option', 2, 0x1e],
        ['another length of the option', 3, 11],
      ] as const
    ).map(([name, at, value]) => ({
      name: `an IPv6 tag with ${name}`,
      ...UPLINK_IN,
      packet: changed(tagged(), AT_TAG + at, value),
    })),
    {
      name: 'an IPv6 tag of nobody',
      ...UPLINK_IN,
      packet: tagged({ tag: { tenant: 0 as TenantTag } }),
      onlyReason: false,
    },
    {
      name: 'nobody in the tunnel with IPv6',
      ...UPLINK_IN,
      packet: tunnelled({ tag: { tenant: 0 as TenantTag } }),
    },
  ],
  tag_version: [
    { name: 'version 2 in the tunnel with IPv6', ...UPLINK_IN, packet: tunnelled({ tag: { version: 2 } }) },
  ],
  tag_epoch: [
    {
      name: 'an IPv6 tag of an epoch without a key',
      ...UPLINK_IN,
      packet: tagged({ tag: { epoch: KEYLESS_EPOCH } }),
      // The key of zeros in its place makes another MAC.
      onlyReason: false,
    },
  ],
  tag_forged: [
    { name: 'an IPv6 tag with a guessed MAC', ...UPLINK_IN, packet: tagged({ tag: forgedMac }) },
    ...(['option', 'vxlan', 'vxlan6'] as const).map((carriage) => ({
      name: `an IPv6 tag signed for ${carriage}`,
      ...UPLINK_IN,
      packet: tagged({ carriage }),
    })),
    ...(['option', 'vxlan', 'option6'] as const).map((carriage) => ({
      name: `IPv6 in the tunnel, signed for ${carriage}`,
      ...UPLINK_IN,
      packet: tunnelled({ carriage }),
    })),
    {
      name: "an IPv6 tag with another tenant's name",
      ...UPLINK_IN,
      packet: tagged({
        tag: { tenant: OTHER_TENANT, mac: signed(between({}), {}, 'option6').mac },
      }),
    },
  ],
  tunnel_malformed: [
    {
      name: 'IPv6 of another version in the tunnel',
      ...UPLINK_IN,
      packet: changed(tunnelled(), AT_INNER, 0x40),
    },
    {
      name: 'IPv6 of another length in the tunnel',
      ...UPLINK_IN,
      packet: changed(tunnelled(), AT_INNER + 5, 21),
    },
    {
      name: 'IPv6 in the tunnel where there is none',
      program: 'uplink_in',
      packet: tunnelled(),
      // What IPv4 would be there is from nobody.
      onlyReason: false,
    },
  ],
  tunnel_peer: [
    {
      name: 'IPv6 in the tunnel from another node',
      ...UPLINK_IN,
      packet: tunnelled({ ends: { source: ip('192.0.2.77') } }),
    },
  ],
  tunnel_destination: [
    {
      name: 'IPv6 in the tunnel to another block',
      ...UPLINK_IN,
      packet: tunnelled({ destination: six(NOBODY) }),
    },
    {
      name: 'IPv6 in the tunnel to another prefix',
      ...UPLINK_IN,
      packet: tunnelled({ destination: OTHER_POOL }),
    },
  ],
};

const outgoing = ipv6Between(six(OWN), six(REMOTE));

export const ALLOWED_IPV6: readonly AllowedCase[] = [
  ...(
    [
      ['IPv6 to the neighbour', sent(six(OWN), six(NEIGHBOUR))],
      ['IPv6 to all of the tenant', sent(six(OWN), ALL_NODES)],
      ["a question for the neighbour's address", discovers(SOLICITATION, six(NEIGHBOUR))],
      ['a question from the own link-local address', discovers(SOLICITATION, NEIGHBOUR_LOCAL, OWN_LOCAL)],
      ['an advertisement of the own address', discovers(ADVERTISEMENT, six(OWN))],
      ['an advertisement of the own link-local address', discovers(ADVERTISEMENT, OWN_LOCAL, OWN_LOCAL)],
      ['duplicate detection of the own address', discovers(SOLICITATION, six(OWN), UNSPECIFIED)],
      ['the first fragment of a datagram', fragment(PROTOCOL.udp, udp(1, 2))],
      [
        'a report of joined groups',
        sent(UNSPECIFIED, ALL_NODES, 0, extension(PROTOCOL.icmpv6, Buffer.from([REPORT, 0, 0, 0]))),
      ],
    ] as const
  ).map(([name, packet]) => ({ name: `${name}, with dual stack`, ...PORT_IN, packet, markAfter: MARK })),
  {
    name: 'IPv6 with a tag on',
    ...UPLINK_OUT,
    packet: onWire(outgoing),
    packetAfter: onWire(withTag6(outgoing, signed(outgoing, {}, 'option6'))),
    markAfter: 0,
  },
  {
    name: 'IPv6 of the host',
    ...UPLINK_OUT,
    mark: 0,
    packet: onWire(ipv6Between(ELSEWHERE, ELSEWHERE)),
    markAfter: 0,
  },
  {
    name: 'IPv6 of somebody else where there is no dual stack',
    program: 'uplink_in',
    packet: arrives({}),
    markAfter: 0,
  },
];
