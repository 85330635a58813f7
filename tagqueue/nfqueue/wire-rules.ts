/**
 * The fence at the uplink without eBPF. iptables leads internal packets to the queues, where userland tags and checks
 * them; nftables makes sure, before and behind it, that nothing internal gets by unjudged, whatever became of those rules.
 */
import type { OwnChain } from '../../linux/iptables.ts';
import type { Cidr } from '../../model/addresses.ts';
import type { MarkMask } from '../../model/mark.ts';
import type { IfName, NodeName } from '../../model/names.ts';
import { TAG_BYTES, TAG_OPTION } from '../options.ts';
import { FLOW_LEFT, type FlowRules, flowBits, flowScript, untrackedOuter } from './flow-rules.ts';
import { chainNames, counterOf, fenceTable, flowTunnel } from './names.ts';

export interface WireRules {
  readonly node: NodeName;
  readonly uplink: IfName;
  readonly internalPool: Cidr;
  readonly markMask: MarkMask;
  /** Queue numbers `firstQueue` and up; a power of two of them, at most 8. */
  readonly firstQueue: number;
  readonly queues: number;
  /** Of the gear `flows`; undefined: every packet goes through userland. */
  readonly flows?: Pick<FlowRules, 'port' | 'ownBlock'> | undefined;
}

/** What tagqueue/nfqueue/flow-rules.ts wants to know. */
export function flowRulesOf(
  { node, uplink, markMask }: Pick<WireRules, 'node' | 'uplink' | 'markMask'>,
  flows: NonNullable<WireRules['flows']>,
): FlowRules {
  return { table: fenceTable(node), tunnel: flowTunnel(node), uplink, markMask, ...flows };
}

/** Of nftables chains: before defragmentation (-400), behind table raw (-300), behind everything that rewrites addresses (100). */
const EARLY = -460;
const BEHIND_RAW = -290;
const LAST = 300;

const drop = (reason: (typeof WIRE_COUNTERS)[number]): string => `counter name ${counterOf(reason)} drop`;
const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;

/** Reasons that this table counts itself. */
const WIRE_COUNTERS = ['internal_leak', 'untagged', 'foreign_source', 'tunnel_port'] as const;

/** Replaces the table in one transaction; its counters go on. */
export function wireScript(rules: WireRules): string {
  const { node, uplink, internalPool, markMask, flows } = rules;
  const table = fenceTable(node);
  const tunnel = flowTunnel(node);
  const within = `ip daddr ${internalPool}`;
  const outward = `ip daddr != ${internalPool} ip saddr ${internalPool}`;
  const tagHead = hex((TAG_OPTION << 8) | TAG_BYTES);
  const chains: Record<string, readonly [string, readonly string[]]> = {
    arrivals: [
      `type filter hook prerouting priority ${EARLY}; policy accept;`,
      [
        // Another gear's, until netd has heard and takes it away.
        ...(flows === undefined ? [`iifname "${tunnel}" ${drop('untagged')}`] : []),
        `iifname != "${uplink}" accept`,
        // A mark that came in from elsewhere is worth nothing.
        `meta mark set meta mark & ${hex(~markMask)}`,
        `${outward} ${drop('internal_leak')}`,
        ...(flows === undefined ? [] : [untrackedOuter(flows)]),
      ],
    ],
    judged: [
      `type filter hook prerouting priority ${BEHIND_RAW}; policy accept;`,
      [`iifname "${uplink}" ${within} meta mark & ${hex(markMask)} == 0 ${drop('untagged')}`],
    ],
    departures: [
      `type filter hook postrouting priority ${LAST}; policy accept;`,
      [
        `oifname "${tunnel}" ${flows === undefined ? drop('untagged') : `goto ${FLOW_LEFT}`}`,
        `oifname != "${uplink}" accept`,
        `${outward} ${drop('internal_leak')}`,
        `${within} ip hdrlength < 9 ${drop('untagged')}`,
        `${within} @nh,160,16 != ${tagHead} ${drop('untagged')}`,
        // The mark means nothing beyond this host.
        `meta mark set meta mark & ${hex(~markMask)}`,
      ],
    ],
  };
  const names = Object.keys(chains);
  const declared = [
    ...WIRE_COUNTERS.map((name) => `counter ${counterOf(name)} { }`),
    ...Object.entries(chains).map(([name, [base]]) => `chain ${name} { ${base} }`),
  ];
  return [
    `table ip ${table} {\n${declared.join('\n')}\n}`,
    ...(flows === undefined ? [] : [flowScript(flowRulesOf(rules, flows))]),
    ...names.map((name) => `flush chain ip ${table} ${name}`),
    ...Object.entries(chains).flatMap(([name, [, lines]]) =>
      lines.map((rule) => `add rule ip ${table} ${name} ${rule}`),
    ),
    '',
  ].join('\n');
}

/** The way to the queues. Without `--queue-bypass`: when nobody reads, packets are dropped. */
export function queueChains(rules: WireRules): OwnChain[] {
  const { node, uplink, internalPool, flows } = rules;
  const { arrivals, departures } = chainNames(node);
  return [
    {
      ...{ table: 'raw', hook: 'PREROUTING', name: arrivals },
      rules: [`! -i ${uplink} -j RETURN`, `! -d ${internalPool} -j RETURN`, ...spread(rules)],
    },
    {
      ...{ table: 'mangle', hook: 'POSTROUTING', name: departures },
      rules: [
        ...(flows === undefined ? [] : flowDepartures(rules)),
        `! -o ${uplink} -j RETURN`,
        `! -d ${internalPool} -j RETURN`,
        ...spread(rules),
      ],
    },
    ...(flows === undefined ? [] : [flowArrivals(rules)]),
  ];
}

/** Behind connection tracking: what the kernel carries passes by the queues. */
function flowArrivals(rules: WireRules): OwnChain {
  const { carried } = flowBits(rules.markMask);
  return {
    ...{ table: 'mangle', hook: 'PREROUTING', name: chainNames(rules.node).flowArrivals },
    rules: [
      `! -i ${flowTunnel(rules.node)} -j RETURN`,
      `-m mark --mark ${hex(carried)}/${hex(carried)} -j RETURN`,
      ...spread(rules),
    ],
  };
}

/** A connection that was proved before goes on when nobody reads; a new one does not. */
function flowDepartures(rules: WireRules): string[] {
  const { carried, again } = flowBits(rules.markMask);
  const leaving = `-o ${flowTunnel(rules.node)}`;
  const proved = spread(rules, { bypass: true }).map(
    (rule) => `${leaving} -m mark --mark ${hex(again)}/${hex(again)} ${rule}`,
  );
  return [
    `-o ${rules.uplink} ! -d ${rules.internalPool} -j RETURN`,
    `${leaving} -m mark --mark ${hex(carried)}/${hex(carried)} -j RETURN`,
    ...proved,
    ...spread(rules).map((rule) => `${leaving} -m mark --mark 0x0/${hex(again)} ${rule}`),
  ];
}

/**
 * One queue for each flow and direction, so that nothing is put out of order. `--queue-balance` alone would put two hosts'
 * whole conversation on one queue: it looks at addresses. So for TCP and UDP the queue is the exclusive or of some bits of
 * both ports; the lowest bit is left out, because Linux gives clients ports of one parity. Fragments have no ports to look
 * at, and go by address with everything else.
 */
function spread({ firstQueue, queues }: WireRules, { bypass = false } = {}): string[] {
  const rules: string[] = [];
  const otherwise = bypass ? ' --queue-bypass' : '';
  if (queues > 1) {
    const unfragmented = '6&0xff=0x6,0x11&&4&0x3fff=0';
    for (let from = 0; from < queues; from++) {
      for (let to = 0; to < queues; to++) {
        const bits = ((from << 17) | (to << 1)) >>> 0;
        const mask = (((queues - 1) << 17) | ((queues - 1) << 1)) >>> 0;
        const ports = `0>>22&0x3c@0&${hex(mask)}=${hex(bits)}`;
        rules.push(
          `-m u32 --u32 "${unfragmented}&&${ports}" -j NFQUEUE --queue-num ${firstQueue + (from ^ to)}${otherwise}`,
        );
      }
    }
  }
  const last = firstQueue + queues - 1;
  rules.push(
    (queues > 1
      ? `-j NFQUEUE --queue-balance ${firstQueue}:${last}`
      : `-j NFQUEUE --queue-num ${firstQueue}`) + otherwise,
  );
  return rules;
}
