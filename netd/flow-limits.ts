/**
 * How much of the kernel's connection tracking one container and one tenant may take, so that nobody's flood fills the
 * table for others (net.netfilter.nf_conntrack_max), nor the neighbour table. What is refused never gets into them.
 */
import type { Nftables } from '../linux/nft.ts';
import type { MarkMask } from '../model/mark.ts';
import type { IfName } from '../model/names.ts';

export interface FlowLimits {
  /** Tracked at one time: of one container, begun by it and through its published ports each. */
  readonly perEndpoint: number;
  /** Tracked at one time: begun by all containers of one tenant on this node. */
  readonly perTenant: number;
  /** New ones in a second: begun by all containers of one tenant, and through the published ports of one container. */
  readonly newPerSecond: number;
}

/**
 * For how long a TCP connection that both sides have closed is still tracked, s. Such flows count in no limit (the kernel's
 * connlimit passes over them), so how many there are is `newPerSecond` times this; the kernel's own times are 120 and 10.
 */
const CLOSED_FOR = 5;

/**
 * Next hops that one tenant may use for the first time in a minute: on a large wire every address is one, and the node
 * remembers those that nobody answers for, too (net.ipv4.neigh.default.gc_thresh3: 1,024 for all of them).
 */
const NEW_HOPS = { perSecond: 8, atOnce: 64, rememberedFor: 60 } as const;

const COUNTERS = { out: 'refused_out', in: 'refused_in' } as const;

/**
 * Addresses of containers that are too busy (netd/request-limits.ts), each with its own rate: an element's limit lets the
 * rule match only what is beyond it.
 */
export const SLOWED_SET = 'slowed';
export const SLOWED_COUNTER = 'refused_while_busy';
export type FlowDirection = keyof typeof COUNTERS;

/** A table of its own: rewriting the rules of the other must not forget who has how many flows. */
export function flowsTable(table: string): string {
  return `${table}_flows`;
}

/** Where tracked flows pass. */
export interface FlowWays {
  readonly external: IfName;
  /** The tunnel between nodes, where the kernel carries flows between containers; undefined: those are not tracked. */
  readonly tunnel: IfName | undefined;
}

/**
 * Its rules are replaced in one transaction; counts stay. Flows between nodes count at both ends for who began them: whom
 * they are for must not be kept from others. Before the guard's chain (-151): a flood must not reach
 * userland either.
 */
export function flowLimitsScript(
  table: string,
  { external, tunnel }: FlowWays,
  markMask: MarkMask,
  { perEndpoint, perTenant, newPerSecond }: FlowLimits,
): string {
  const name = flowsTable(table);
  const mask = `0x${markMask.toString(16)}`;
  const refuse = (direction: FlowDirection): string => `counter name ${COUNTERS[direction]} drop`;
  const hop = `meta mark & ${mask} . rt ip nexthop`;
  const tooFast = `limit rate over ${newPerSecond}/second burst ${newPerSecond} packets`;
  const begun = [
    `iifname "${external}"`,
    ...(tunnel === undefined ? [] : [`iifname "${tunnel}"`, `oifname "${tunnel}"`]),
  ];
  const rules = [
    'ct state != new accept',
    `iifname "${external}" ${hop} != @hops add @hops_of_tenant { meta mark & ${mask} limit rate over ${NEW_HOPS.perSecond}/second burst ${NEW_HOPS.atOnce} packets } ${refuse('out')}`,
    `iifname "${external}" update @hops { ${hop} }`,
    ...begun.map((way) => `${way} add @opened_by_tenant { meta mark & ${mask} ${tooFast} } ${refuse('out')}`),
    `oifname "${external}" ct status dnat ip daddr @${SLOWED_SET} counter name ${SLOWED_COUNTER} drop`,
    `oifname "${external}" ct status dnat add @opened_with { ip daddr ${tooFast} } ${refuse('in')}`,
    ...begun.flatMap((way) => [
      `${way} add @begun_by { ip saddr ct count over ${perEndpoint} } ${refuse('out')}`,
      `${way} add @begun_by_tenant { meta mark & ${mask} ct count over ${perTenant} } ${refuse('out')}`,
    ]),
    `oifname "${external}" ct status dnat add @begun_with { ip daddr ct count over ${perEndpoint} } ${refuse('in')}`,
    'ip protocol tcp ct timeout set "closed"',
  ];
  return `
table ip ${name} {
  counter ${COUNTERS.out} { }
  counter ${COUNTERS.in} { }
  counter ${SLOWED_COUNTER} { }
  ct timeout closed {
    protocol tcp; l3proto ip;
    policy = { time_wait : ${CLOSED_FOR}, close : ${CLOSED_FOR} };
  }
  set hops {
    typeof meta mark . rt ip nexthop; size 65535; flags dynamic,timeout; timeout ${NEW_HOPS.rememberedFor}s;
  }
  set hops_of_tenant { type mark; size 65535; flags dynamic; }
  set opened_by_tenant { type mark; size 65535; flags dynamic; }
  set opened_with { type ipv4_addr; size 65535; flags dynamic; }
  set ${SLOWED_SET} { type ipv4_addr; size 65535; limit rate over 1/second burst 1 packets; }
  set begun_by { type ipv4_addr; size 65535; flags dynamic; }
  set begun_by_tenant { type mark; size 65535; flags dynamic; }
  set begun_with { type ipv4_addr; size 65535; flags dynamic; }
  chain bounded {
    type filter hook forward priority -155; policy accept;
  }
}
flush chain ip ${name} bounded
${rules.map((rule) => `add rule ip ${name} bounded ${rule}\n`).join('')}`;
}

/** Packets that were refused since the table was made. */
export function refusedFlows(nft: Nftables, table: string, direction: FlowDirection): number {
  const listed = nft.list(`counter ip ${flowsTable(table)} ${COUNTERS[direction]}`) ?? [];
  const counter = listed.map((object) => object['counter']).find((found) => found !== undefined);
  return (counter as { readonly packets?: number } | undefined)?.packets ?? 0;
}
