/**
 * The gear `flows`: userland judges the first packets of a flow between nodes, and the kernel carries the rest through a
 * VXLAN device that puts the tenant into its group id (IETF draft-smith-vxlan-group-policy; drivers/net/vxlan). All of it
 * hangs on the mark of the tracked connection, which only an authenticated packet, or one of our own container's, can set.
 */
import type { Cidr, Ipv4 } from '../../model/addresses.ts';
import { SluiceError } from '../../model/errors.ts';
import { DEFAULT_MARK_MASK, type MarkMask, shiftOf } from '../../model/mark.ts';
import type { IfName } from '../../model/names.ts';
import { TAG_BYTES, TAG_OPTION } from '../options.ts';
import { counterOf } from './names.ts';
import type { FenceFacts } from './tables.ts';

export interface FlowRules {
  readonly table: string;
  readonly uplink: IfName;
  readonly tunnel: IfName;
  /** UDP port of the device. */
  readonly port: number;
  readonly ownBlock: Cidr;
  readonly markMask: MarkMask;
}

/** What the rules look up: who the peers are, and which tenants are here. */
export interface FlowFacts {
  /** Uplink addresses. */
  readonly peers: readonly Ipv4[];
  readonly tenants: FenceFacts['tenants'];
}

/** Bits of the packet mark between two of our chains. */
export interface FlowBits {
  /** The connection is known at both ends: the kernel carries the packet, and userland does not see it. */
  readonly carried: number;
  /** So it was, but some time ago: userland proves it anew, if it is there. */
  readonly again: number;
}

/** A group id has 16 bits (VXLAN_GBP_ID_MASK of net/vxlan.h): tenants with larger tags have none. */
export const LARGEST_GROUP = 0xffff;
/** These would become flags on the wire (VXLAN_GBP_DONT_LEARN, VXLAN_GBP_POLICY_APPLIED). */
const WIRE_FLAGS = (1 << 22) | (1 << 19);

/**
 * An end that has forgotten a connection refuses what the kernel carries on it. After at most this long without a word
 * from there the other end proves the connection again, and both know it.
 */
const PROOF_SECONDS = 30;
const MOST_PROVED = 262_144;

/** Of nftables chains: iptables' own of table mangle stand at -150, connection tracking at -200. */
const BEFORE_QUEUE = -160;
const BEHIND_QUEUE = -140;
const BEFORE_TRACKING = -300;

/** @throws SluiceError `invalid_request` when the mask leaves no bits for it */
export function flowBits(markMask: MarkMask): FlowBits {
  const free = Array.from({ length: 16 }, (_, index) => 2 ** (16 + index)).filter(
    (bit) => ((bit & markMask) | (bit & WIRE_FLAGS)) === 0,
  );
  const [carried, again] = free;
  if (carried === undefined || again === undefined || shiftOf(markMask) < 16)
    throw new SluiceError(
      'invalid_request',
      'the gear flows needs two bits of the packet mark between the group id and network.markMask',
      'leave network.markMask as it is by default, or use tagqueue.gear packets',
    );
  return { carried, again };
}

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;
const drop = (reason: 'untagged' | 'internal_leak' | 'foreign_source' | 'tunnel_port'): string =>
  `counter name ${counterOf(reason)} drop`;
const OBJECTS = [
  ['set', 'peers'],
  ['map', 'outward'],
  ['map', 'inward'],
  ['set', 'proved'],
] as const;
/** The last look at what leaves by the tunnel: the table's own last chain leads there. */
export const FLOW_LEFT = 'flow_left';
const CHAINS = [
  ...['flow_sent', 'flow_outer_in', 'flow_arrivals', 'flow_believed'],
  ...['flow_departures', 'flow_unread', FLOW_LEFT],
];

/** What the table has for this gear; its sets stay as they are. */
export function flowScript(rules: FlowRules): string {
  const { table } = rules;
  const chains = flowChains(rules);
  const declared = [
    'set peers { type ipv4_addr; }',
    // Mark of the packet and of its connection, to the group id.
    'map outward { type mark . mark : mark; }',
    // Group id and mark of the connection, to the tenant's mark.
    'map inward { type mark . mark : mark; }',
    `set proved { typeof ct id; size ${MOST_PROVED}; flags dynamic, timeout; timeout ${PROOF_SECONDS}s; }`,
    ...Object.entries(chains).map(([name, [base]]) => `chain ${name} { ${base} }`),
  ];
  return [
    `table ip ${table} {\n${declared.join('\n')}\n}`,
    ...CHAINS.map((name) => `flush chain ip ${table} ${name}`),
    ...Object.entries(chains).flatMap(([name, [, lines]]) =>
      lines.map((line) => `add rule ip ${table} ${name} ${line}`),
    ),
    '',
  ].join('\n');
}

/** Of the tunnel's own packets. A fragment has to be tracked, or nobody would put it together with those that show no port. */
export function untrackedOuter({ port }: Pick<FlowRules, 'port'>): string {
  return `udp dport ${port} ip frag-off & 0x3fff == 0 notrack`;
}

type Chain = readonly [base: string, rules: readonly string[]];

function flowChains(rules: FlowRules): Record<string, Chain> {
  return { ...outerChains(rules), ...arrivalChains(rules), ...departureChains(rules) };
}

/** The tunnel's own packets: from the nodes of the cluster and nobody else, and without a mark of ours. */
function outerChains({ uplink, port }: FlowRules): Record<string, Chain> {
  return {
    flow_sent: [
      `type filter hook output priority ${BEFORE_TRACKING}; policy accept;`,
      [`udp dport ${port} meta mark set 0 notrack`],
    ],
    flow_outer_in: [
      `type filter hook input priority ${BEFORE_QUEUE}; policy accept;`,
      [
        `udp dport ${port} iifname != "${uplink}" ${drop('tunnel_port')}`,
        `udp dport ${port} ip saddr != @peers ${drop('foreign_source')}`,
        // What came out of the tunnel inherits the mark where it has no group id.
        `udp dport ${port} meta mark set 0`,
      ],
    ],
  };
}

function arrivalChains({ tunnel, ownBlock, markMask }: FlowRules): Record<string, Chain> {
  const { carried } = flowBits(markMask);
  return {
    flow_arrivals: [
      `type filter hook prerouting priority ${BEFORE_QUEUE}; policy accept;`,
      [
        `iifname != "${tunnel}" accept`,
        `ip daddr != ${ownBlock} ${drop('internal_leak')}`,
        // Flags that no node of ours sets.
        `meta mark & ${hex(~LARGEST_GROUP)} != 0 ${drop('untagged')}`,
        'meta mark set meta mark . ct mark map @inward accept',
        // No proof yet, or another tenant's connection: only a tag is believed now.
        'meta mark set 0',
      ],
    ],
    flow_believed: [
      `type filter hook prerouting priority ${BEHIND_QUEUE}; policy accept;`,
      [
        `iifname != "${tunnel}" accept`,
        // Whoever carries the connection knows it.
        `meta mark & ${hex(carried)} != 0 add @proved { ct id }`,
        `meta mark & ${hex(carried)} != 0 meta mark set meta mark & ${hex(markMask)} accept`,
        `meta mark & ${hex(markMask)} == 0 ${drop('untagged')}`,
        // An error message belongs to the connection that it quotes, which may be another tenant's.
        'ct state related accept',
        'ct mark set meta mark',
        // One that is not confirmed yet has no id: its first packet proves nothing for long.
        'update @proved { ct id }',
      ],
    ],
  };
}

function departureChains({ tunnel, markMask }: FlowRules): Record<string, Chain> {
  const { carried, again } = flowBits(markMask);
  const tagHead = hex((TAG_OPTION << 8) | TAG_BYTES);
  const carry = 'meta mark set meta mark . ct mark map @outward accept';
  return {
    flow_departures: [
      `type filter hook postrouting priority ${BEFORE_QUEUE}; policy accept;`,
      [
        `oifname != "${tunnel}" accept`,
        `meta mark set meta mark & ${hex(markMask)}`,
        'meta mark != 0 ct mark 0 ct state != related ct mark set meta mark',
        // The other end has just sent the SYN: it knows the connection.
        `tcp flags & (fin | syn | rst | ack) == (syn | ack) ct status seen-reply ct direction reply ${carry}`,
        // A reply was seen: the other end has believed the flow's first packet, or has sent it.
        `ct status seen-reply ct id @proved ${carry}`,
        `ct status seen-reply meta mark set meta mark | ${hex(again)}`,
      ],
    ],
    flow_unread: ['', [`meta mark set meta mark & ${hex(markMask)}`, carry]],
    [FLOW_LEFT]: [
      '',
      [
        `meta mark & ${hex(carried)} != 0 accept`,
        // Userland put the tag on: without a group id the other end looks for it.
        `ip hdrlength >= 9 @nh,160,16 ${tagHead} update @proved { ct id }`,
        `ip hdrlength >= 9 @nh,160,16 ${tagHead} meta mark set 0 accept`,
        `meta mark & ${hex(again)} != 0 jump flow_unread`,
        drop('untagged'),
      ],
    ],
  };
}

/** Takes out of the table what another gear does not have. Nothing of it has to be there. */
export function noFlowScript(table: string): string {
  const nowhere = { table, uplink: 'lo', tunnel: 'lo', ownBlock: '127.0.0.0/8', port: 1 };
  const rules = { ...nowhere, markMask: DEFAULT_MARK_MASK } as FlowRules;
  // Deleting what is not there fails the whole transaction: add first.
  return [
    flowScript(rules),
    // Before they are deleted they must not refer to each other.
    ...CHAINS.map((name) => `flush chain ip ${table} ${name}\n`),
    ...CHAINS.map((name) => `delete chain ip ${table} ${name}\n`),
    ...OBJECTS.map(([kind, name]) => `delete ${kind} ip ${table} ${name}\n`),
  ].join('');
}

/** The sets, replaced in one transaction. Who is not in them has no connection that the kernel carries. */
export function flowFactsScript({ table, markMask }: FlowRules, { peers, tenants }: FlowFacts): string {
  const { carried } = flowBits(markMask);
  const grouped = tenants
    .filter(([, tag]) => tag <= LARGEST_GROUP)
    .map(([index, tag]) => ({ mark: index * 2 ** shiftOf(markMask), group: tag }));
  const outward = grouped.map(({ mark, group }) => `${hex(mark)} . ${hex(mark)} : ${hex(group | carried)}`);
  const inward = grouped.map(({ mark, group }) => `${hex(group)} . ${hex(mark)} : ${hex(mark | carried)}`);
  const fill = (kind: 'set' | 'map', name: string, elements: readonly string[]): string =>
    `flush ${kind} ip ${table} ${name}\n${
      elements.length === 0 ? '' : `add element ip ${table} ${name} { ${elements.join(', ')} }\n`
    }`;
  return fill('set', 'peers', peers) + fill('map', 'outward', outward) + fill('map', 'inward', inward);
}
