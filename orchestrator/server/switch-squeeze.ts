/** Room for a switch: what is taken from tenants of lower priority, by switches that live and end with it. Pure. */
import type { Capacity } from '../../model/limits.ts';
import type { NodeName, TenantName } from '../../model/names.ts';
import type { TenantPlan } from '../../model/plan.ts';
import type { Changes, Switch, SwitchId } from '../../model/switch.ts';
import type { CapacityLack } from '../../model/switch-request.ts';
import { chooses } from '../../model/switch-scope.ts';
import type { NodeLimits } from './limit-reports.ts';
import { DEMANDS, demandOf, tenantsOf } from './switch-forecast.ts';

export interface SqueezeWorld {
  readonly nodes: readonly NodeLimits[];
  readonly plans: ReadonlyMap<TenantName, TenantPlan>;
  readonly zones: ReadonlyMap<NodeName, string | null>;
  /** Open at the moment that is looked at, the new switch among them. */
  readonly open: readonly Switch[];
  readonly newId: () => SwitchId;
}

/** Nobody is left with less than this part of what it has. */
const LEAST_LEFT = 0.25;
/** Factors are rounded down to thousandths, so that the room is there. */
const GRAIN = 1_000;

/**
 * The lowest tenants give first, each down to a quarter at most; then the next.
 * @returns as many switches as it takes, at most one for each tenant of each node; too few when there is too little
 */
export function squeezesFor(one: Switch, lacks: readonly CapacityLack[], world: SqueezeWorld): Switch[] {
  const cuts = new Map<string, { node: NodeName; tenant: TenantName; changes: Record<string, object> }>();
  for (const { node: name, of, has } of lacks) {
    const node = world.nodes.find((other) => other.node === name);
    if (node === undefined) continue;
    const givers = giversOf(one, node, world);
    for (const [field] of DEMANDS[of]) {
      for (const { tenant, factor } of shareOut(field, node, givers, has, world)) {
        const key = `${name}/${tenant}`;
        const cut = cuts.get(key) ?? { node: name, tenant, changes: {} };
        cut.changes[field] = { do: 'scale', factor };
        cuts.set(key, cut);
      }
    }
  }
  return [...cuts.values()].map(({ node, tenant, changes }) => ({
    ...one,
    id: world.newId(),
    name: 'squeeze',
    select: { tenant: [tenant], node: [node] },
    changes: changes as Changes,
    percent: 100,
    reason: `makes room for ${one.id}`,
    mayKill: false,
    squeezeFor: one.id,
  }));
}

/** Tenants below everybody for whom room is made, the lowest first. */
function giversOf(one: Switch, node: NodeLimits, { plans }: SqueezeWorld): TenantName[] {
  const priorityOf = (tenant: TenantName): number => plans.get(tenant)?.priority ?? 0;
  const takers = new Set(
    [...node.containers.values()]
      .filter(({ subject }) => chooses(one, subject))
      .map(({ subject }) => subject.tenant),
  );
  const lowest = Math.min(...[...takers].map(priorityOf));
  return tenantsOf(node)
    .filter((tenant) => priorityOf(tenant) < lowest)
    .sort((a, b) => priorityOf(a) - priorityOf(b));
}

function shareOut(
  field: (typeof DEMANDS)[keyof Capacity][number][0],
  node: NodeLimits,
  givers: readonly TenantName[],
  has: number,
  { open, zones }: SqueezeWorld,
): { tenant: TenantName; factor: number }[] {
  const wanted = tenantsOf(node).reduce(
    (sum, tenant) => sum + demandOf(field, tenant, node, open, zones).demand,
    0,
  );
  let missing = wanted - has;
  const shares: { tenant: TenantName; factor: number }[] = [];
  for (const tenant of givers) {
    if (missing <= 0) break;
    const { limits, demand } = demandOf(field, tenant, node, open, zones);
    if (demand === 0) continue;
    const left = Math.max(demand - missing, demand * LEAST_LEFT);
    shares.push({ tenant, factor: Math.max(1, Math.floor((left / limits) * GRAIN)) / GRAIN });
    missing -= demand - left;
  }
  return shares;
}
