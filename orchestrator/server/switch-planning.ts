/** What would come of a switch: shown by `plan`, and looked at once more by `open`, in the moment of opening. */
import { ClusterNode } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import type { NodeName, TenantName } from '../../model/names.ts';
import { TenantPlan } from '../../model/plan.ts';
import type { Switch, SwitchId } from '../../model/switch.ts';
import type {
  CapacityLack,
  PlannedContainer,
  PlannedShare,
  SwitchPlanned,
} from '../../model/switch-request.ts';
import { selects } from '../../model/switch-scope.ts';
import type { Store } from '../../store/contract.ts';
import { PATHS, readAll } from './layout.ts';
import type { LimitReports, NodeLimits } from './limit-reports.ts';
import { forecast, forecastShares, lacksOf, moments, openAt } from './switch-forecast.ts';
import { squeezesFor } from './switch-squeeze.ts';
import { liveSwitches } from './switch-store.ts';

/** Everything that a plan depends on, at one moment. */
export interface SwitchWorld {
  /** Unix ms. */
  readonly now: number;
  readonly nodes: readonly NodeLimits[];
  readonly clusterNodes: readonly ClusterNode[];
  readonly zones: ReadonlyMap<NodeName, string | null>;
  readonly plans: ReadonlyMap<TenantName, TenantPlan>;
  /** Open and future ones; not those that wait for a second person. */
  readonly switches: readonly Switch[];
}

/** What the server knows it from. */
interface WorldSources {
  readonly store: Store;
  readonly limits: LimitReports;
  /** Unix time in ms. */
  readonly now: () => number;
}

export async function readWorld({ store, limits, now }: WorldSources): Promise<SwitchWorld> {
  const clusterNodes = await readAll(store, PATHS.nodes, ClusterNode);
  const plans = await readAll(store, PATHS.plans, TenantPlan);
  const live = await liveSwitches(store);
  return {
    now: now(),
    nodes: limits.nodes(),
    clusterNodes,
    zones: new Map(clusterNodes.map(({ node, zone }) => [node, zone])),
    plans: new Map(plans.map((plan) => [plan.tenant, plan])),
    switches: live.map(({ one }) => one).filter(({ approval }) => approval === null || approval.at !== null),
  };
}

export interface Wish {
  readonly force: boolean;
  readonly squeeze: boolean;
  readonly all: boolean;
  readonly newId: () => SwitchId;
}

export interface SwitchForecast extends Omit<SwitchPlanned, 'refusal'> {
  /** Why it would be refused. */
  readonly refusal: SluiceError | null;
}

export function planSwitch(one: Switch, world: SwitchWorld, wish: Wish): SwitchForecast {
  const others = world.switches.filter(({ id }) => id !== one.id);
  const when = moments(one, others, world.now);
  const agreed: Switch = { ...one, approval: null };
  const lacking = (more: readonly Switch[]): CapacityLack[] =>
    worst(
      when.map((at) => {
        const before = openAt(others, at);
        return lacksOf(world.nodes, before, [...before, agreed, ...more], world.zones);
      }),
    );
  const squeezes = wish.squeeze ? squeezesIn(agreed, others, when, world, wish.newId) : [];
  const [opening = world.now] = when;
  const open = [...openAt(others, opening), agreed, ...squeezes];
  const containers = forecast(agreed, world.nodes, open).map(
    ({ container, node, fields }): PlannedContainer => ({
      subject: container.subject,
      reachable: node.reachable,
      fields: [...fields],
    }),
  );
  const shares = forecastShares(agreed, world.nodes, open, world.zones).map(
    ({ share, node, fields }): PlannedShare => ({
      node: node.node,
      tenant: share.tenant,
      reachable: node.reachable,
      fields: [...fields],
    }),
  );
  const planned = {
    switch: one,
    squeezes: squeezes.map((squeeze) => ({ ...squeeze, approval: one.approval })),
    containers,
    shares,
    lacks: lacking(squeezes),
    unreachable: silentNodes(one, world),
  };
  return { ...planned, refusal: refusalOf(planned, world, wish) };
}

/** Nodes that it could concern, and that have not been heard of lately, or never. */
export function silentNodes(
  { select }: Switch,
  { nodes, clusterNodes }: Pick<SwitchWorld, 'nodes' | 'clusterNodes'>,
): NodeName[] {
  const heard = new Set(nodes.filter(({ reachable }) => reachable).map(({ node }) => node));
  return clusterNodes
    .filter(({ node }) => !heard.has(node))
    .filter(({ node }) => select.node === undefined || select.node.includes(node))
    .filter(({ zone }) => select.zone === undefined || (zone !== null && select.zone.includes(zone)))
    .map(({ node }) => node);
}

/** Of each node and resource the greatest. */
function worst(all: readonly (readonly CapacityLack[])[]): CapacityLack[] {
  const found = new Map<string, CapacityLack>();
  for (const lack of all.flat()) {
    const key = `${lack.node}/${lack.of}`;
    const known = found.get(key);
    if (known === undefined || known.wanted < lack.wanted) found.set(key, lack);
  }
  return [...found.values()];
}

/** For the moment when most is missing. */
function squeezesIn(
  one: Switch,
  others: readonly Switch[],
  when: readonly number[],
  world: SwitchWorld,
  newId: () => SwitchId,
): Switch[] {
  const looked = when.map((at) => {
    const before = openAt(others, at);
    const open = [...before, one];
    const lacks = lacksOf(world.nodes, before, open, world.zones);
    return { open, lacks, missing: lacks.reduce((sum, { wanted, has }) => sum + wanted / has - 1, 0) };
  });
  const [most] = looked.sort((a, b) => b.missing - a.missing);
  if (most === undefined || most.lacks.length === 0) return [];
  return squeezesFor(one, most.lacks, { ...world, open: most.open, newId });
}

function refusalOf(
  planned: Omit<SwitchForecast, 'refusal'>,
  { nodes }: SwitchWorld,
  { force, all, squeeze }: Wish,
): SluiceError | null {
  const { containers, shares, lacks, unreachable, switch: one } = planned;
  if (containers.length + shares.length === 0) return nothingChosen(one, nodes, unreachable);
  if (!all && choosesEverything(one, nodes)) return everythingChosen(nodes);
  return force || lacks.length === 0 ? null : lacking(lacks, squeeze);
}

function nothingChosen(
  { select, percent }: Switch,
  nodes: readonly NodeLimits[],
  unreachable: readonly NodeName[],
): SluiceError {
  const fitting = nodes.flatMap(({ containers }) =>
    [...containers.values()].filter(({ subject }) => selects(select, subject)),
  ).length;
  if (percent < 100 && fitting > 0)
    return new SluiceError(
      'not_found',
      `${percent} per cent of ${fitting} containers is none`,
      'choose a greater part with --percent',
    );
  const hint =
    unreachable.length === 0
      ? 'sluice endpoint list shows containers; every word of --select must fit'
      : `these nodes have told of none lately: ${unreachable.slice(0, 10).join(', ')}`;
  return new SluiceError('not_found', 'it chooses no container that nodes have told of', hint);
}

/**
 * Whether nobody is left out. One tenant, app or instance that is named is meant, also where it is alone in the
 * cluster.
 */
function choosesEverything({ select }: Switch, nodes: readonly NodeLimits[]): boolean {
  const subjects = nodes.flatMap(({ containers }) => [...containers.values()].map(({ subject }) => subject));
  if (!subjects.every((subject) => selects(select, subject))) return false;
  const named = select.tenant ?? select.app ?? select.instance;
  return named === undefined || new Set(subjects.map(({ tenant }) => tenant)).size > 1;
}

function everythingChosen(nodes: readonly NodeLimits[]): SluiceError {
  const count = nodes.reduce((sum, { containers }) => sum + containers.size, 0);
  return new SluiceError(
    'conflict',
    `it chooses every container of the cluster, all ${count} of them`,
    'say so (--all, or `all` in the request), or narrow --select',
  );
}

const WORDS = { cpu: 'cores', memory: 'bytes of memory', uplink: 'bit/s of its uplink' } as const;

function lacking(lacks: readonly CapacityLack[], squeezed: boolean): SluiceError {
  const [first, ...rest] = lacks.map(
    ({ node, of, has, wanted }) => `node ${node} has ${has} ${WORDS[of]}, and ${wanted} would be promised`,
  );
  const more = rest.length > 9 ? [...rest.slice(0, 9), `and ${rest.length - 9} more`] : rest;
  const room = squeezed
    ? 'tenants of lower priority have no more to give'
    : '--squeeze takes it from tenants of lower priority';
  return new SluiceError(
    'refused',
    [first, ...more].join('\n'),
    `ask for less, or for fewer containers; ${room}; --force opens it nevertheless`,
  );
}
