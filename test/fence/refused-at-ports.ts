/** Packets that a container's port must refuse, by reason. */

import { ethernetFrame } from '../../linux/frames.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { markOf } from '../../model/mark.ts';
import {
  arp,
  BROADCAST,
  ETHERTYPE,
  extension,
  ipv4,
  ipv6,
  MORE_FRAGMENTS,
  PROTOCOL,
  udp,
} from '../frames.ts';
import {
  arpFromHost,
  arpOf,
  EXTERNAL_OWN,
  fromOwn,
  GATEWAY,
  GATEWAY_MAC,
  INTERNET,
  ip,
  MARK,
  MARK_MASK,
  NEIGHBOUR,
  NEIGHBOUR_MAC,
  OTHER_MARK,
  OUTSIDER,
  OWN,
  OWN_MAC,
  type Refusals,
  sent,
  tag,
} from './world.ts';

const PORT_IN = { program: 'port_in' } as const;
const PORT_OUT = { program: 'port_out' } as const;
const ALLOW_IPV6 = { ...PORT_IN, allow: [ETHERTYPE.ipv6] } as const;

const hostAsksFor = (targetIp: Ipv4, senderIp: Ipv4): Buffer => {
  const question = { operation: 'request', senderMac: GATEWAY_MAC, senderIp, targetIp } as const;
  return ethernetFrame(GATEWAY_MAC, BROADCAST, ETHERTYPE.arp, arp(question));
};
const neighbourDiscovery = (type: number): Buffer => Buffer.from([type, 0, 0, 0, 0, 0, 0, 0]);

export const REFUSED_AT_PORTS: Refusals = {
  no_port: [
    { name: 'a frame from an interface that is not bound', ...PORT_IN, port: 'unbound', packet: sent({}) },
    {
      name: 'a frame to an interface that is not bound',
      ...PORT_OUT,
      port: 'unbound',
      mark: MARK,
      packet: sent({}),
    },
  ],
  source_mac: [
    {
      name: "IPv4 from the neighbour's MAC",
      ...PORT_IN,
      packet: ethernetFrame(
        NEIGHBOUR_MAC,
        OWN_MAC,
        ETHERTYPE.ipv4,
        ipv4({ source: OWN, destination: NEIGHBOUR }),
      ),
    },
    {
      name: 'an allowed EtherType from another MAC',
      ...PORT_IN,
      allow: [ETHERTYPE.experimental],
      packet: ethernetFrame(NEIGHBOUR_MAC, OWN_MAC, ETHERTYPE.experimental, Buffer.alloc(46)),
    },
  ],
  ethertype: [
    { name: 'IPv6', ...PORT_IN, packet: fromOwn(ETHERTYPE.ipv6, ipv6(PROTOCOL.udp, udp(1, 2))) },
    { name: 'an unknown EtherType', ...PORT_IN, packet: fromOwn(ETHERTYPE.experimental, Buffer.alloc(46)) },
    {
      name: 'an 802.3 frame with LLC and SNAP around IPv4',
      ...PORT_IN,
      packet: fromOwn(
        54,
        Buffer.concat([
          Buffer.from('aaaa030000000800', 'hex'),
          ipv4({ source: OWN, destination: NEIGHBOUR }),
        ]),
      ),
    },
  ],
  vlan: [
    {
      name: 'a frame within VLAN 0',
      ...PORT_IN,
      allow: [ETHERTYPE.vlan],
      packet: fromOwn(
        ETHERTYPE.vlan,
        Buffer.concat([Buffer.from('00000800', 'hex'), ipv4({ source: OWN, destination: NEIGHBOUR })]),
      ),
    },
    {
      name: 'a frame within a service VLAN',
      ...PORT_IN,
      allow: [ETHERTYPE.serviceVlan],
      packet: fromOwn(
        ETHERTYPE.serviceVlan,
        Buffer.concat([Buffer.from('00058100', 'hex'), Buffer.alloc(46)]),
      ),
    },
  ],
  arp_spoof: [
    {
      name: "the neighbour's address",
      ...PORT_IN,
      packet: arpOf({ senderIp: NEIGHBOUR, operation: 'reply' }),
    },
    {
      name: "the gateway's address, announced",
      ...PORT_IN,
      packet: arpOf({ senderIp: GATEWAY, targetIp: GATEWAY }),
    },
    { name: "the neighbour's MAC", ...PORT_IN, packet: arpOf({ senderMac: NEIGHBOUR_MAC }) },
    {
      name: 'a reply without an address',
      ...PORT_IN,
      packet: arpOf({ senderIp: ip('0.0.0.0'), operation: 'reply' }),
    },
    { name: 'an operation that is neither request nor reply', ...PORT_IN, packet: arpOf({ operation: 3 }) },
    { name: 'ARP of other hardware', ...PORT_IN, packet: arpOf({ hardware: 6 }) },
    { name: 'ARP for another protocol', ...PORT_IN, packet: arpOf({ protocol: ETHERTYPE.ipv6 }) },
    { name: 'ARP cut off', ...PORT_IN, packet: arpOf({}).subarray(0, 40), onlyReason: false },
  ],
  rogue_router: [
    {
      name: 'a router advertisement',
      ...ALLOW_IPV6,
      packet: fromOwn(ETHERTYPE.ipv6, ipv6(PROTOCOL.icmpv6, neighbourDiscovery(134))),
    },
    {
      name: 'a redirect',
      ...ALLOW_IPV6,
      packet: fromOwn(ETHERTYPE.ipv6, ipv6(PROTOCOL.icmpv6, neighbourDiscovery(137))),
    },
    {
      name: 'an advertisement behind hop-by-hop and destination options',
      ...ALLOW_IPV6,
      packet: fromOwn(
        ETHERTYPE.ipv6,
        ipv6(0, extension(60, extension(PROTOCOL.icmpv6, neighbourDiscovery(134), 3))),
      ),
    },
    {
      name: 'an advertisement in a first fragment',
      ...ALLOW_IPV6,
      packet: fromOwn(ETHERTYPE.ipv6, ipv6(44, extension(PROTOCOL.icmpv6, neighbourDiscovery(134)))),
    },
    {
      name: 'an advertisement behind an authentication header',
      ...ALLOW_IPV6,
      packet: fromOwn(
        ETHERTYPE.ipv6,
        ipv6(
          51,
          Buffer.concat([Buffer.from([PROTOCOL.icmpv6, 4]), Buffer.alloc(22), neighbourDiscovery(134)]),
        ),
      ),
    },
    {
      name: 'a chain of extension headers that is cut off',
      ...ALLOW_IPV6,
      packet: fromOwn(ETHERTYPE.ipv6, ipv6(0, extension(60, Buffer.alloc(0)))),
    },
    {
      name: 'a chain of nine extension headers',
      ...ALLOW_IPV6,
      packet: fromOwn(
        ETHERTYPE.ipv6,
        ipv6(
          60,
          Array.from({ length: 9 }).reduce<Buffer>((inner) => extension(60, inner), neighbourDiscovery(134)),
        ),
      ),
    },
  ],
  malformed: [
    { name: 'version 6 in an IPv4 frame', ...PORT_IN, packet: sent({ version: 6 }) },
    { name: 'a header of 16 bytes', ...PORT_IN, packet: sent({ headerWords: 4 }) },
    { name: 'longer than the frame', ...PORT_IN, packet: sent({ totalLength: 41 }) },
    { name: 'shorter than its header', ...PORT_IN, packet: sent({ totalLength: 19 }) },
  ],
  ip_options: [
    { name: 'a tag written by the container', ...PORT_IN, packet: sent({ options: tag() }) },
    {
      name: 'a tag behind another option',
      ...PORT_IN,
      packet: sent({ options: Buffer.concat([Buffer.alloc(4, 1), tag()]) }),
    },
    ...Object.entries({
      'a loose source route': '8307040a40080100',
      'a strict source route': '8907040a40080100',
      'an option longer than the header': '0708040000000001'.slice(0, 8),
      'an option without length': '01010107',
      'an option of one byte': '07010000',
      'more than the tag leaves room for': `071b04${'00'.repeat(24)}00`,
    }).map(([name, options]) => ({
      name,
      ...PORT_IN,
      packet: sent({ options: Buffer.from(options, 'hex') }),
    })),
  ],
  source_ip: [
    { name: "the neighbour's address", ...PORT_IN, packet: sent({ source: NEIGHBOUR }) },
    {
      name: 'no address',
      ...PORT_IN,
      packet: sent({ source: ip('0.0.0.0'), destination: ip('255.255.255.255') }),
    },
    {
      name: 'an address of the internet, externally',
      ...PORT_IN,
      port: 'external',
      packet: sent({ source: OUTSIDER, destination: INTERNET }),
    },
  ],
  loopback: [
    {
      name: "the host's loopback",
      ...PORT_IN,
      port: 'external',
      packet: sent({ source: EXTERNAL_OWN, destination: ip('127.0.0.1') }),
    },
    {
      name: 'the end of the loopback network',
      ...PORT_IN,
      port: 'external',
      packet: sent({ source: EXTERNAL_OWN, destination: ip('127.255.255.254') }),
    },
  ],
  not_internal: [
    { name: 'the internet by the internal interface', ...PORT_IN, packet: sent({ destination: INTERNET }) },
    { name: 'the address after the pool', ...PORT_IN, packet: sent({ destination: ip('10.80.0.0') }) },
    { name: 'the address before the pool', ...PORT_IN, packet: sent({ destination: ip('10.63.255.255') }) },
  ],
  not_external: [
    {
      name: 'an internal address by the external interface',
      ...PORT_IN,
      port: 'external',
      packet: sent({ source: EXTERNAL_OWN, destination: NEIGHBOUR }),
    },
  ],
  fragment: [
    {
      name: 'a first fragment of 8 bytes',
      ...PORT_IN,
      packet: sent({ fragment: MORE_FRAGMENTS }, Buffer.alloc(8)),
    },
    {
      name: 'a first fragment of 15 bytes',
      ...PORT_IN,
      packet: sent({ fragment: MORE_FRAGMENTS }, Buffer.alloc(15)),
    },
    { name: 'a fragment at offset 8', ...PORT_IN, packet: sent({ fragment: 1 }, Buffer.alloc(24)) },
  ],

  tunnel_port: [
    {
      name: "to the gateway's own tunnel port",
      ...PORT_IN,
      packet: sent({ destination: GATEWAY }, udp(50_000, 4789)),
    },
    {
      name: "to a host's tunnel port, externally",
      ...PORT_IN,
      port: 'external',
      packet: sent({ source: EXTERNAL_OWN, destination: OUTSIDER }, udp(50_000, 4789)),
    },
    {
      name: 'in a first fragment',
      ...PORT_IN,
      port: 'external',
      packet: sent(
        { source: EXTERNAL_OWN, destination: OUTSIDER, fragment: MORE_FRAGMENTS },
        udp(50_000, 4789),
      ),
    },
  ],

  other_tenant: [
    { name: 'IPv4', ...PORT_OUT, mark: OTHER_MARK, packet: sent({}) },
    { name: 'IPv4, externally', ...PORT_OUT, port: 'external', mark: OTHER_MARK, packet: sent({}) },
    { name: 'broadcast ARP', ...PORT_OUT, mark: OTHER_MARK, packet: arpOf({}) },
    {
      name: "ARP in the gateway's name",
      ...PORT_OUT,
      mark: OTHER_MARK,
      packet: arpFromHost(GATEWAY_MAC, GATEWAY),
    },
    {
      name: 'IPv6',
      ...PORT_OUT,
      mark: OTHER_MARK,
      packet: fromOwn(ETHERTYPE.ipv6, ipv6(PROTOCOL.udp, udp(1, 2))),
    },
    {
      name: 'an unknown EtherType',
      ...PORT_OUT,
      mark: OTHER_MARK,
      packet: fromOwn(ETHERTYPE.experimental, Buffer.alloc(46)),
    },
    {
      name: 'a mark beyond 24 bits that ends alike',
      ...PORT_OUT,
      mark: markOf(3, MARK_MASK),
      packet: sent({}),
    },
  ],
  untagged: [
    { name: 'IPv4 from the host itself', ...PORT_OUT, packet: sent({ source: GATEWAY }) },
    {
      name: "ARP from the host, not in the gateway's name",
      ...PORT_OUT,
      packet: arpFromHost(GATEWAY_MAC, NEIGHBOUR),
    },
    {
      name: "ARP for the gateway's address from another MAC",
      ...PORT_OUT,
      packet: arpFromHost(NEIGHBOUR_MAC, GATEWAY),
    },
    {
      name: 'the host asking for somebody else, whom another tenant made it look for',
      ...PORT_OUT,
      packet: hostAsksFor(NEIGHBOUR, GATEWAY),
    },
    {
      name: 'the same, externally',
      ...PORT_OUT,
      port: 'external',
      packet: hostAsksFor(ip('10.80.0.3'), ip('10.80.0.1')),
    },
  ],
};
