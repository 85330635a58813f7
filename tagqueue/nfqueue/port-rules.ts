/**
 * The fence at containers' ports without eBPF: a table of the family `bridge`, in which each port has two chains of its
 * own. What the chains ask, and in which order, is what tagqueue/bpf/identity.h and fence.bpf.c ask.
 */
import * as z from 'zod';
import { type Cidr, cidrNetwork, cidrPrefix, Ipv4, Mac } from '../../model/addresses.ts';
import type { Mark } from '../../model/mark.ts';
import { TenantTag } from '../../model/names.ts';
import type { AccountId } from '../../model/usage.ts';
import { type BlockRoute, type PortBinding, UNLIMITED } from '../maps.ts';
import type { AccountName } from '../port-binding.ts';
import { DROP_REASONS, type DropReason } from '../reasons.ts';
import { ACCOUNT_MAPS, leaveAccountScript, openAccountScript } from './account-rules.ts';
import { counterOf, PORT_GROUPS } from './names.ts';

export interface PortRules {
  readonly table: string;
  readonly markMask: number;
}

export interface CommonRules extends PortRules {
  /** Undefined as long as nobody has told: then no internal address is anybody's. */
  readonly internalPool: Cidr | undefined;
  /** EtherTypes allowed besides IPv4 and ARP. */
  readonly etherTypes: readonly number[];
  /** UDP port of the hosts' tunnels, which containers must not reach. */
  readonly vxlanPort: number;
  /** That of the gear `flows`, where it is on. */
  readonly flowPort?: number | undefined;
}

/** Right behind: what gets there has passed the fence. */
const COUNTED = -449;
/** Before br_netfilter (0) hands a frame to the IP tables, and before everybody else's rules. */
const FIRST = -450;
const IPV6 = 0x86dd;
/** The map whose elements are the ports; each carries its binding in a comment. */
export const SENDERS = 'senders';
/** Not asked by any rule: what other nodes have, with network and prefix as the key. */
export const BLOCKS = 'blocks';
const RECEIVERS = 'receivers';

/** Besides IPv4, what a host listens to. */
const HOST_FAMILIES = ['arp', 'ip6'] as const;
/** Reserved groups of IEEE 802.1D. */
const TO_KEPT = 'ether daddr 01:80:c2:00:00:00-01:80:c2:00:00:0f';

const drop = (reason: DropReason): string => `counter name ${counterOf(reason)} drop`;
const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;
const complement = (mask: number): string => hex(~mask);

/** What is common to all ports, replaced in one transaction. Ports and counters stay as they are. */
export function commonScript(rules: CommonRules): string {
  const chains = Object.entries(commonChains(rules));
  const bases = {
    judge_senders: `type filter hook prerouting priority ${FIRST}; policy accept;`,
    judge_receivers: `type filter hook postrouting priority ${FIRST}; policy accept;`,
    count_sent: `type filter hook prerouting priority ${COUNTED}; policy accept;`,
    count_received: `type filter hook postrouting priority ${COUNTED}; policy accept;`,
    // Frames to most groups that no bridge forwards go to the host at once, past prerouting (net/bridge/br_input.c).
    judge_kept: `type filter hook input priority ${FIRST}; policy accept;`,
  };
  const declared = [
    ...DROP_REASONS.map((reason) => `counter ${counterOf(reason)} { }`),
    `set ${BLOCKS} { type ipv4_addr . inet_service; }`,
    `map ${SENDERS} { type iface_index : verdict; }`,
    `map ${RECEIVERS} { type iface_index : verdict; }`,
    ...Object.values(ACCOUNT_MAPS).map((map) => `map ${map} { type iface_index : counter; }`),
    ...Object.entries(bases).map(([name, base]) => `chain ${name} { ${base} }`),
    ...chains.map(([name]) => `chain ${name} { }`),
  ];
  return [
    `table bridge ${rules.table} {\n${declared.join('\n')}\n}`,
    ...chains.map(([name]) => `flush chain bridge ${rules.table} ${name}`),
    ...Object.keys(bases).map((name) => `flush chain bridge ${rules.table} ${name}`),
    ...chains.flatMap(([name, lines]) => lines.map((line) => rule(rules, name, line))),
    ...baseRules(rules),
    ...HOST_FAMILIES.flatMap((family) => keptScript(rules, family)),
    '',
  ].join('\n');
}

/** What a bridge hands to the host without asking any hook of its own (01:80:c2:00:00:0e), of ports. For IPv4 netd does. */
function keptScript({ table }: PortRules, family: (typeof HOST_FAMILIES)[number]): string[] {
  const groups = `${hex(PORT_GROUPS.first)}-${hex(PORT_GROUPS.last)}`;
  return [
    `table ${family} ${table} { chain kept { type filter hook input priority filter; policy accept; }; }`,
    `flush chain ${family} ${table} kept`,
    `add rule ${family} ${table} kept meta iifgroup ${groups} drop`,
  ];
}

/** Takes away everything of the ports' fence. */
export function removePortsScript(table: string): string {
  const others = HOST_FAMILIES.map(
    (family) => `add table ${family} ${table}\ndelete table ${family} ${table}`,
  );
  return [`delete table bridge ${table}`, ...others, ''].join('\n');
}

function rule({ table }: PortRules, chain: string, text: string): string {
  return `add rule bridge ${table} ${chain} ${text}`;
}

/** An interface that is a container's and is bound to nobody is shut. */
function baseRules(rules: CommonRules): string[] {
  const groups = `${hex(PORT_GROUPS.first)}-${hex(PORT_GROUPS.last)}`;
  return [
    rule(rules, 'judge_senders', `meta iifgroup ${groups} meta iif vmap @${SENDERS}`),
    rule(rules, 'judge_senders', `meta iifgroup ${groups} ${drop('no_port')}`),
    rule(rules, 'judge_kept', `meta iifgroup ${groups} ${TO_KEPT} meta iif vmap @${SENDERS}`),
    rule(rules, 'judge_kept', `meta iifgroup ${groups} ${TO_KEPT} ${drop('no_port')}`),
    rule(rules, 'judge_receivers', `meta oifgroup ${groups} meta oif vmap @${RECEIVERS}`),
    rule(rules, 'judge_receivers', `meta oifgroup ${groups} ${drop('no_port')}`),
    rule(rules, 'count_sent', `meta iifgroup ${groups} counter name meta iif map @${ACCOUNT_MAPS.sent}`),
    rule(
      rules,
      'count_received',
      `meta oifgroup ${groups} counter name meta oif map @${ACCOUNT_MAPS.received}`,
    ),
  ];
}

function commonChains({
  internalPool,
  etherTypes,
  vxlanPort,
  flowPort,
}: CommonRules): Record<string, readonly string[]> {
  const ipv6 = etherTypes.includes(IPV6);
  const ports = flowPort === undefined ? `${vxlanPort}` : `{ ${vxlanPort}, ${flowPort} }`;
  return {
    // The kernel knows the protocol only of a packet whose header is whole and no longer than the packet.
    ipv4_shape: [
      'meta l4proto 0-254 goto ipv4_options',
      'meta l4proto 255 goto ipv4_options',
      drop('malformed'),
    ],
    ipv4_options: [`ip hdrlength != 5 ${drop('ip_options')}`],
    fragments: [
      `ip frag-off & 0x1fff == 1 ${drop('fragment')}`,
      `ip frag-off & 0x3fff == 0x2000 ip length < 36 ${drop('fragment')}`,
    ],
    to_internal: [
      `ip daddr 127.0.0.0/8 ${drop('loopback')}`,
      ...(internalPool === undefined ? [] : [`ip daddr ${internalPool} accept`]),
      'ip daddr { 224.0.0.0/4, 255.255.255.255 } accept',
      drop('not_internal'),
    ],
    tunnel: [`udp dport ${ports} ${drop('tunnel_port')}`],
    to_external: [
      `ip daddr 127.0.0.0/8 ${drop('loopback')}`,
      internalPool === undefined ? drop('not_external') : `ip daddr ${internalPool} ${drop('not_external')}`,
      'jump tunnel',
      'accept',
    ],
    // The last address is asked for, so that what is cut off before it does not pass.
    arp_shape: [
      'arp htype 1 arp ptype 0x0800 arp hlen 6 arp plen 4 arp operation { request, reply } arp daddr ip != 255.255.255.255 accept',
      drop('arp_spoof'),
    ],
    other_types: [
      ...(ipv6 ? ['ether type ip6 goto ipv6'] : []),
      ...etherTypes.filter((type) => type !== IPV6).map((type) => `ether type ${hex(type)} accept`),
      drop('ethertype'),
    ],
    // The kernel finds the protocol behind extension headers; where it cannot, nothing passes.
    ipv6: [
      `meta l4proto ipv6-icmp icmpv6 type { nd-router-advert, nd-redirect } ${drop('rogue_router')}`,
      // The kernel's walk ends at an authentication header (nft_set_pktinfo_ipv6): what is behind is not known.
      `meta l4proto { 0, 43, 44, 51, 60 } ${drop('rogue_router')}`,
      'meta l4proto 0-254 accept',
      drop('rogue_router'),
    ],
  };
}

const senderChain = (ifindex: number): string => `from_${ifindex}`;
const receiverChain = (ifindex: number): string => `to_${ifindex}`;

/**
 * Opens a port for its container.
 * @param bound  whether it is bound already, to the same or to another
 */
export function bindScript(rules: PortRules, port: PortBinding, name: AccountName, bound: boolean): string {
  const { table } = rules;
  const { ifindex } = port;
  const [from, to] = [senderChain(ifindex), receiverChain(ifindex)];
  return [
    `table bridge ${table} { chain ${from} { }; chain ${to} { }; }`,
    // An element that is there already would keep its old comment.
    ...(bound ? [...elements('delete', table, ifindex), ...leaveAccountScript(table, ifindex)] : []),
    ...[from, to].map((chain) => `flush chain bridge ${table} ${chain}`),
    ...senderRules(rules, port).map((text) => rule(rules, from, text)),
    ...receiverRules(rules, port).map((text) => rule(rules, to, text)),
    ...openAccountScript(table, port, name),
    `add element bridge ${table} ${SENDERS} { ${ifindex} comment "${commentOf(port)}" : goto ${from} }`,
    `add element bridge ${table} ${RECEIVERS} { ${ifindex} : goto ${to} }`,
    '',
  ].join('\n');
}

function elements(verb: 'delete', table: string, ifindex: number): string[] {
  return [SENDERS, RECEIVERS].map((map) => `${verb} element bridge ${table} ${map} { ${ifindex} }`);
}

/** Shuts a port that is bound. */
export function unbindScript({ table }: PortRules, ifindex: number): string {
  return [
    ...elements('delete', table, ifindex),
    ...leaveAccountScript(table, ifindex),
    ...[senderChain(ifindex), receiverChain(ifindex)].map((chain) => `delete chain bridge ${table} ${chain}`),
    '',
  ].join('\n');
}

function senderRules({ markMask }: PortRules, { mac, address, gateway, side, mark }: PortBinding): string[] {
  const claims = `ether type arp arp saddr ether ${mac}`;
  return [
    `ether type { 8021q, 8021ad } ${drop('vlan')}`,
    `ether saddr != ${mac} ${drop('source_mac')}`,
    `meta mark set meta mark & ${complement(markMask)} | ${hex(mark)}`,
    'ether type ip jump ipv4_shape',
    `ether type ip ip saddr != ${address} ${drop('source_ip')}`,
    'ether type ip jump fragments',
    ...(side === 'internal' ? [`ip daddr ${gateway} jump tunnel`] : []),
    `ether type ip goto to_${side}`,
    `${claims} arp saddr ip ${address} goto arp_shape`,
    // Who asks whether an address is free does not claim it yet (RFC 5227).
    `${claims} arp operation request arp saddr ip 0.0.0.0 goto arp_shape`,
    `ether type arp ${drop('arp_spoof')}`,
    'goto other_types',
  ];
}

function receiverRules({ markMask }: PortRules, port: PortBinding): string[] {
  const { mark, side, address, gateway, gatewayMac } = port;
  return [
    `meta mark & ${hex(markMask)} == ${hex(mark)} accept`,
    `meta mark & ${hex(markMask)} != 0 ${drop('other_tenant')}`,
    // Of the host's own questions, which bear no mark, a container hears those for itself.
    `ether type arp arp saddr ether ${gatewayMac} arp saddr ip ${gateway} arp daddr ip ${address} accept`,
    ...(side === 'external' ? ['ether type != arp accept'] : []),
    drop('untagged'),
  ];
}

/** The binding in less than 128 characters (libnftnl/udata.h), so that the kernel remembers it for whoever asks. */
function commentOf(port: PortBinding): string {
  const { tag, mark, side, address, mac, gateway, gatewayMac, account } = port;
  const flags = port.dualStack ? 'd' : '-';
  return [tag, mark, side, address, mac, gateway, gatewayMac, account, flags].join(' ');
}

/** What `commentOf` wrote. @returns undefined for somebody else's words */
export function portOf(ifindex: number, comment: string): PortBinding | undefined {
  const [tag, mark, side, address, mac, gateway, gatewayMac, account = '', flags = ''] = comment.split(' ');
  const words = PortWords.safeParse({ tag: Number(tag), side, address, mac, gateway, gatewayMac });
  if (!words.success || !/^\d{1,20}$/.test(account)) return undefined;
  return {
    ...words.data,
    ifindex,
    mark: Number(mark) as Mark,
    account: BigInt(account) as AccountId,
    dualStack: flags.endsWith('d'),
    ...UNLIMITED,
  };
}

const PortWords = z.strictObject({
  tag: TenantTag,
  side: z.enum(['external', 'internal']),
  address: Ipv4,
  mac: Mac,
  gateway: Ipv4,
  gatewayMac: Mac,
});

/** Where a block is: an element of the set BLOCKS. */
export function blockElement(
  { table }: PortRules,
  verb: 'add' | 'delete',
  block: Cidr,
  route?: BlockRoute,
): string {
  const comment = route === undefined ? '' : ` comment "${route.node} ${route.nextHop}"`;
  return `${verb} element bridge ${table} ${BLOCKS} { ${cidrNetwork(block)} . ${cidrPrefix(block)}${comment} }\n`;
}
