/**
 * How much of the kernel's connection tracking one container and one tenant may take, so that nobody's flood fills the
 * table for others (net.netfilter.nf_conntrack_max). What is refused never gets into it.
 */
import type { Nftables } from '../linux/nft.ts';
import type { MarkMask } from '../model/mark.ts';
import type { IfName } from '../model/names.ts';

/** Tracked flows at one time. */
export interface FlowLimits {
  /** Of one container, begun by it and through its published ports each. */
  readonly perEndpoint: number;
  /** Begun by all containers of one tenant on this node. */
  readonly perTenant: number;
}

const COUNTERS = { out: 'refused_out', in: 'refused_in' } as const;
export type FlowDirection = keyof typeof COUNTERS;

/** A table of its own: rewriting the rules of the other must not forget who has how many flows. */
export function flowsTable(table: string): string {
  return `${table}_flows`;
}

/**
 * Its rules are replaced in one transaction; counts stay. Before the guard's chain (-151): a flood must not reach
 * userland either.
 */
export function flowLimitsScript(
  table: string,
  externalBridge: IfName,
  markMask: MarkMask,
  { perEndpoint, perTenant }: FlowLimits,
): string {
  const name = flowsTable(table);
  const mask = `0x${markMask.toString(16)}`;
  const refuse = (direction: FlowDirection): string => `counter name ${COUNTERS[direction]} drop`;
  const rules = [
    'ct state != new accept',
    `iifname "${externalBridge}" add @begun_by { ip saddr ct count over ${perEndpoint} } ${refuse('out')}`,
    `iifname "${externalBridge}" add @begun_by_tenant { meta mark & ${mask} ct count over ${perTenant} } ${refuse('out')}`,
    `oifname "${externalBridge}" ct status dnat add @begun_with { ip daddr ct count over ${perEndpoint} } ${refuse('in')}`,
  ];
  return `
table ip ${name} {
  counter ${COUNTERS.out} { }
  counter ${COUNTERS.in} { }
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
