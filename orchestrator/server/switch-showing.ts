/** Switches as they are told: to operators whole, to a tenant as far as they concern its own containers. */
import { ClusterNode } from '../../model/cluster.ts';
import type { TenantName } from '../../model/names.ts';
import type { Switch } from '../../model/switch.ts';
import type { SwitchListed, SwitchShown } from '../../model/switch-request.ts';
import { selects, selectsShare } from '../../model/switch-scope.ts';
import { PATHS, readAll } from './layout.ts';
import type { NodeLimits } from './limit-reports.ts';
import type { Cluster } from './operation.ts';
import type { Principal } from './principal.ts';
import { effectsOf, isSettled, nextOf, phaseOf, type Witnesses } from './switch-effects.ts';
import { silentNodes } from './switch-planning.ts';
import { type KeptSwitch, liveSwitches } from './switch-store.ts';
import { whenSettled } from './when-settled.ts';

export async function readWitnesses({
  store,
  limits,
}: Cluster): Promise<Witnesses & { clusterNodes: ClusterNode[] }> {
  const clusterNodes = await readAll(store, PATHS.nodes, ClusterNode);
  return {
    nodes: limits.nodes(),
    zones: new Map(clusterNodes.map(({ node, zone }) => [node, zone])),
    clusterNodes,
  };
}

/** As it is now; its present standing is asked of the nodes' last reports. */
export async function shown(cluster: Cluster, kept: KeptSwitch, who: Principal): Promise<SwitchShown> {
  const { one } = kept;
  const now = cluster.now();
  const witnesses = await readWitnesses(cluster);
  const effects = effectsOf(kept, now, witnesses);
  const squeezes = (await liveSwitches(cluster.store)).filter((other) => other.one.squeezeFor === one.id);
  const all: SwitchShown = {
    switch: one,
    phase: phaseOf(one, now),
    next: nextOf(one, now),
    squeezes: squeezes.map((squeeze) => squeeze.one.id),
    effects,
    unreachable: silentNodes(one, witnesses),
    settled: isSettled(kept, now, witnesses.nodes, effects),
  };
  if (who.role !== 'tenant') return all;
  return {
    ...all,
    switch: forTenant(one, who.tenant),
    squeezes: [],
    unreachable: [],
    effects: effects.filter(({ tenant }) => tenant === who.tenant),
  };
}

/** The same as soon as everybody has answered, or the time is over. A tenant does not wait: it may ask again. */
export function shownWhenSettled(
  cluster: Cluster,
  find: () => Promise<KeptSwitch>,
  who: Principal,
  waitMs: number,
  signal: AbortSignal,
): Promise<SwitchShown> {
  const look = async (): Promise<SwitchShown> => shown(cluster, await find(), who);
  return whenSettled(cluster.limits.news, look, who.role === 'tenant' ? 0 : waitMs, signal);
}

export function listed(one: Switch, now: number, who: Principal): SwitchListed {
  return { ...(who.role === 'tenant' ? forTenant(one, who.tenant) : one), phase: phaseOf(one, now) };
}

/** Whether it could touch anything of the tenant's: what it names, or a container that a node has told of. */
export function concerns({ select }: Switch, tenant: TenantName, { nodes, zones }: Witnesses): boolean {
  if (select.tenant !== undefined) return select.tenant.includes(tenant);
  const shareChosen = (node: NodeLimits): boolean =>
    node.shares.has(tenant) &&
    selectsShare(select, { tenant, node: node.node, zone: zones.get(node.node) ?? null });
  return nodes.some(
    (node) =>
      shareChosen(node) ||
      [...node.containers.values()].some(
        ({ subject }) => subject.tenant === tenant && selects(select, subject),
      ),
  );
}

/** Who else is chosen, for whom room is made and whose token it was is none of a tenant's business. */
function forTenant(one: Switch, tenant: TenantName): Switch {
  const word = (name: string): string => name.split(' ')[0] ?? name;
  return {
    ...one,
    select: { tenant: [tenant] },
    squeezeFor: null,
    reason: one.squeezeFor === null ? one.reason : 'makes room for others',
    openedBy: word(one.openedBy),
    approval: one.approval && { ...one.approval, by: one.approval.by && word(one.approval.by) },
    closed: one.closed && { ...one.closed, by: word(one.closed.by) },
  };
}
