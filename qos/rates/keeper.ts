/** Holds a node's containers to their rates: observe, plan, apply. The kernel is the only memory. */
import { listLinks } from '../../linux/links.ts';
import type { Netlink } from '../../linux/netlink.ts';
import { asSluiceError } from '../../model/errors.ts';
import type { Shortfall } from '../../model/limits-report.ts';
import type { IfName, TenantName } from '../../model/names.ts';
import type { NodeRates, PortRates, RateKeeper, RateStatistics, Rates, TenantRates } from '../contract.ts';
import { applyTree, type Lead, liftFrom } from './apply.ts';
import { observeTrees, type SeenTree } from './observe.ts';
import { fieldOf, type KnownPort, type RateSite, TREES, type TreeId } from './site.ts';
import {
  planTree,
  rateOfQueue,
  shareOf,
  strayRates,
  type TenantShare,
  type WantedPort,
  type WantedTree,
} from './tree.ts';

const NO_SHAPER = 'the interfaces that limit rates are not there (yet)';

/** @param route  in the node's network namespace; it is closed by whoever opened it */
export function openRateKeeper(route: Netlink, site: RateSite): RateKeeper {
  let last: Promise<unknown> = Promise.resolve();
  function inTurn<T>(step: () => Promise<T>): Promise<T> {
    const next = last.then(step);
    last = next.catch(() => undefined);
    return next;
  }
  return {
    apply: (wanted) => inTurn(() => apply(route, site, wanted)),
    read: () => inTurn(() => read(route, site)),
    statistics: () => inTurn(() => statistics(route, site)),
    close: async () => {
      await last;
    },
  };
}

async function apply(
  route: Netlink,
  site: RateSite,
  wanted: NodeRates,
): Promise<ReadonlyMap<IfName, readonly Shortfall[]>> {
  const indexes = await indexesOf(route);
  const trees = await observeTrees(route, site);
  const shortfalls = new Map<IfName, Shortfall[]>();
  const miss = (id: TreeId, hostIf: IfName, rate: number | null, why: string): void => {
    const missed = { field: fieldOf(id), wanted: rate, why };
    shortfalls.set(hostIf, [...(shortfalls.get(hostIf) ?? []), missed]);
  };
  const plans = TREES.map((id) => {
    const tree = trees.find((one) => one.id === id);
    const ports = portsOf(id, wanted, site.known());
    const present = ports.flatMap(({ hostIf, ...port }) => {
      const ifindex = indexes.get(hostIf);
      return ifindex !== undefined && tree?.ports.has(ifindex) ? [{ ...port, hostIf, ifindex }] : [];
    });
    if (tree === undefined) for (const { hostIf, rate } of ports) miss(id, hostIf, rate, NO_SHAPER);
    return { id, tree, present };
  });
  await Promise.all(
    plans.map(async ({ id, tree, present }) => {
      if (tree === undefined) return;
      const plan = planTree(wantedTree(id, wanted, present, site), tree);
      const lead: Lead = (ifindex, minor) => site.lead(ifindex, id.direction, minor);
      try {
        const refused = await applyTree(route, tree.ifindex, plan, lead);
        const classes = new Map(plan.lead.map(({ ifindex, minor }) => [ifindex, minor]));
        for (const { ifindex, hostIf, rate } of present) {
          const minor = classes.get(ifindex) ?? tree.ports.get(ifindex) ?? 0;
          const error = refused.get(minor);
          if (error !== undefined) miss(id, hostIf, rate, asSluiceError(error).message);
        }
        await liftFrom(route, tree.ifindex, plan, lead, (minor) => site.forget(id, minor));
      } catch (error) {
        for (const { hostIf, rate } of present) miss(id, hostIf, rate, asSluiceError(error).message);
      }
    }),
  );
  return shortfalls;
}

interface NamedPort extends Omit<WantedPort, 'ifindex'> {
  readonly hostIf: IfName;
}

/** Those with a rate of their own, and all of a tenant whose share is limited. */
function portsOf(id: TreeId, { ports, tenants }: NodeRates, known: readonly KnownPort[]): NamedPort[] {
  const limited = new Set(
    tenants
      .filter((share) => share.side === id.side && share[id.direction] !== null)
      .map(({ tenant }) => tenant),
  );
  const named = new Map<IfName, NamedPort>();
  for (const { hostIf, side, tenant } of known)
    if (side === id.side && limited.has(tenant)) named.set(hostIf, { hostIf, tenant, rate: null });
  for (const { hostIf, side, tenant, [id.direction]: rate } of ports)
    if (side === id.side && (rate !== null || limited.has(tenant)))
      named.set(hostIf, { hostIf, tenant, rate });
  return [...named.values()];
}

function wantedTree(
  id: TreeId,
  { tenants }: NodeRates,
  ports: readonly WantedPort[],
  site: RateSite,
): WantedTree {
  const shares = tenants
    .filter(({ side }) => side === id.side)
    .map((share): [TenantName, TenantShare] => [
      share.tenant,
      { aggregate: share[id.direction], borrow: share.borrow },
    ]);
  return { ports, tenants: new Map(shares), mtu: site.mtu(id.side) };
}

async function indexesOf(route: Netlink): Promise<Map<IfName, number>> {
  return new Map((await listLinks(route)).map(({ name, index }) => [name, index]));
}

interface LedPort extends KnownPort {
  readonly ifindex: number;
  readonly minor: number;
}

/** The ports that are led through a tree. */
function ledThrough(tree: SeenTree, known: readonly KnownPort[], indexes: Map<IfName, number>): LedPort[] {
  return known.flatMap((port) => {
    const ifindex = indexes.get(port.hostIf) ?? 0;
    const minor = tree.ports.get(ifindex) ?? 0;
    return port.side === tree.id.side && minor !== 0 ? [{ ...port, ifindex, minor }] : [];
  });
}

async function read(route: Netlink, site: RateSite): Promise<NodeRates> {
  const indexes = await indexesOf(route);
  const ports = new Map<IfName, PortRates>();
  const tenants = new Map<string, TenantRates>();
  for (const tree of await observeTrees(route, site)) {
    const { side, direction } = tree.id;
    const led = ledThrough(tree, site.known(), indexes);
    const stray = strayRates(remembered(tree, led, site), tree);
    for (const port of led) {
      const { hostIf, tenant, minor } = port;
      const before = ports.get(hostIf) ?? { hostIf, side, tenant, in: null, out: null };
      ports.set(hostIf, { ...before, [direction]: stray.get(minor) ?? rateOf(tree, port) });
      const { aggregate, borrow } = shareAbove(tree, port);
      const key = `${tenant}/${side}`;
      const other = tenants.get(key) ?? { tenant, side, in: null, out: null, borrow };
      tenants.set(key, { ...other, [direction]: aggregate, borrow: other.borrow || borrow });
    }
  }
  return { ports: [...ports.values()].filter(isLimited), tenants: [...tenants.values()].filter(isLimited) };
}

/** What the tree was told, as far as it remembers: rates stand in the queues, shares in the tenants' classes. */
function remembered(tree: SeenTree, led: readonly LedPort[], site: RateSite): WantedTree {
  const ports = led.map((port) => ({ ...port, rate: rateOf(tree, port) }));
  const tenants = new Map(led.map((port) => [port.tenant, shareAbove(tree, port)]));
  return { ports, tenants, mtu: site.mtu(tree.id.side) };
}

const isLimited = (rates: Rates): boolean => rates.in !== null || rates.out !== null;

/** Without its class the port is shut. */
function rateOf({ classes }: SeenTree, { minor }: LedPort): number | null {
  const rate = rateOfQueue(classes.get(minor)?.queue);
  return rate === undefined ? 0 : rate;
}

function shareAbove({ classes }: SeenTree, { minor }: LedPort): TenantShare {
  const share = classes.get(classes.get(minor)?.parent ?? 0);
  return share === undefined ? { aggregate: null, borrow: false } : shareOf(share);
}

async function statistics(route: Netlink, site: RateSite): Promise<RateStatistics[]> {
  const indexes = await indexesOf(route);
  return (await observeTrees(route, site)).flatMap((tree) =>
    ledThrough(tree, site.known(), indexes).flatMap(({ hostIf, minor }) => {
      const listed = tree.listed.get(minor);
      if (listed === undefined) return [];
      const { bytes, packets, overlimits, backlog } = listed;
      const dropped = tree.dropped.get(minor) ?? 0;
      return [{ hostIf, field: fieldOf(tree.id), bytes, packets, dropped, overlimits, backlog }];
    }),
  );
}
