/** What the guard has counted, where all that is refused is counted, and for Prometheus. */
import type { TenantName } from '../../model/names.ts';
import type { DropNames } from '../drop-names.ts';
import type { DropCount } from '../drops.ts';
import type { Guard, GuardCounts } from './guard.ts';

/** Refused packets of flows to the outside among all others. */
export function withGuard(
  counts: readonly DropCount[],
  { refusedPackets }: GuardCounts,
  tenantOf: (tag: number) => TenantName | null,
): DropCount[] {
  const tenants = [...refusedPackets].map(([tag, packets]) => ({ tag, tenant: tenantOf(tag), packets }));
  const packets = tenants.reduce((sum, one) => sum + one.packets, 0);
  return counts.map((count) => (count.reason === 'guard' ? { ...count, packets, tenants } : count));
}

/** Names of tenants and rules have nothing in them that would need quoting (model/guard.ts). */
export function guardMetrics(guard: Guard | undefined, { tenantOf }: Pick<DropNames, 'tenantOf'>): string {
  if (guard === undefined) return '';
  const { decided, flows, held } = guard.counts();
  const name = (tag: number): string => tenantOf(tag) ?? `tag-${tag}`;
  const lines = [
    '# HELP sluice_guard_flows_total Flows to the outside that the guard has decided about.',
    '# TYPE sluice_guard_flows_total counter',
    ...decided.map(
      ({ tag, verdict, rule, flows: count }) =>
        `sluice_guard_flows_total{tenant="${name(tag)}",verdict="${verdict}",rule="${rule}"} ${count}`,
    ),
    '# HELP sluice_guard_flows Flows under way that the guard has let out.',
    '# TYPE sluice_guard_flows gauge',
    ...[...flows].map(([tag, count]) => `sluice_guard_flows{tenant="${name(tag)}"} ${count}`),
    '# HELP sluice_guard_beginnings Flows that have not shown yet what they are.',
    '# TYPE sluice_guard_beginnings gauge',
    `sluice_guard_beginnings ${held.beginnings}`,
  ];
  return `${lines.join('\n')}\n`;
}
