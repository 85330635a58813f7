/** What a plan shows of each container, in random clusters: just what the algebra says. */
import fc from 'fast-check';
import { baseOf, effective, switchesOf, valuesOf } from '../../model/effective-limits.ts';
import { type Capacity, LIMIT_FIELDS, type Limits, type Subject } from '../../model/limits.ts';
import type { ContainerLimits, TenantShare } from '../../model/limits-report.ts';
import type { NodeName, TenantName } from '../../model/names.ts';
import { emptyPlan, type TenantPlan } from '../../model/plan.ts';
import { type Changes, Switch, type SwitchId } from '../../model/switch.ts';
import { chooses, choosesShare } from '../../model/switch-scope.ts';
import type { NodeLimits } from '../../orchestrator/server/limit-reports.ts';
import { demandOf } from '../../orchestrator/server/switch-forecast.ts';
import { planSwitch, type SwitchWorld } from '../../orchestrator/server/switch-planning.ts';

const RUNS = 1_000;
const NOW = 1_000_000;
const ran = new Map<string, number>();

/** Holds a thousand times or more, and says how often it was tried, and how often it was put to the test. */
function always<T>(name: string, arbitrary: fc.Arbitrary<T>, check: (input: T) => boolean | undefined): void {
  it(name, () => {
    let [runs, telling] = [0, 0];
    fc.assert(
      fc.property(arbitrary, (input) => {
        runs += 1;
        if (check(input) !== false) telling += 1;
      }),
      { numRuns: RUNS },
    );
    expect(runs).toBeGreaterThanOrEqual(RUNS);
    expect(telling).toBeGreaterThan(RUNS / 50);
    ran.set(`${name} (${telling} telling)`, runs);
  });
}

afterAll(() => {
  const lines = [...ran].map(([name, runs]) => `${String(runs).padStart(6)} runs: ${name}`);
  process.stdout.write(`${lines.join('\n')}\n`);
});

const TENANTS = ['shop', 'batch', 'crawl'] as TenantName[];
const NODES = ['a', 'b'] as NodeName[];
const tenant = fc.constantFrom(...TENANTS);

const limits: fc.Arbitrary<Limits> = fc
  .record({
    cpu: fc.option(
      fc.integer({ min: 1, max: 8 }).map((n) => n / 4),
      { nil: undefined },
    ),
    memory: fc.option(
      fc.integer({ min: 1, max: 16 }).map((n) => n * 2 ** 27),
      { nil: undefined },
    ),
    'net.external.out': fc.option(
      fc.integer({ min: 1, max: 20 }).map((n) => n * 10_000_000),
      { nil: undefined },
    ),
  })
  .map((all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)));

const change = (small: number, large: number) =>
  fc.oneof(
    fc.integer({ min: small, max: large }).map((value) => ({ do: 'set' as const, value })),
    fc.constantFrom(0.5, 1.5, 2, 4).map((factor) => ({ do: 'scale' as const, factor })),
    fc.constant({ do: 'lift' as const }),
  );
const changes: fc.Arbitrary<Changes> = fc
  .record({
    cpu: fc.option(change(1, 6), { nil: undefined }),
    memory: fc.option(change(2 ** 27, 2 ** 31), { nil: undefined }),
    'net.external.out': fc.option(change(10_000_000, 800_000_000), { nil: undefined }),
    pids: fc.option(change(1, 100), { nil: undefined }),
  })
  .map((all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Changes)
  .filter((all) => Object.keys(all).length > 0);

let made = 0;
const idOf = (): SwitchId => {
  made += 1;
  return `sw-${made.toString(36).padStart(8, '0')}` as SwitchId;
};
const switchOf: fc.Arbitrary<Switch> = fc
  .record({
    changes,
    tenants: fc.option(fc.uniqueArray(tenant, { minLength: 1, maxLength: 2 }), { nil: undefined }),
    node: fc.option(fc.constantFrom(...NODES), { nil: undefined }),
    priority: fc.integer({ min: -1, max: 1 }),
    percent: fc.constantFrom(100, 100, 50),
    from: fc.constantFrom(0, 0, NOW + 1_000),
  })
  .map(({ tenants, node, ...some }) =>
    Switch.parse({
      ...{ id: idOf(), name: 'one', until: NOW + 10_000, repeat: null, reason: 'a property', openedBy: 'op' },
      ...{
        openedAt: 0,
        ...some,
        select: { ...(tenants && { tenant: tenants }), ...(node && { node: [node] }) },
      },
    }),
  );

const capacity: fc.Arbitrary<Capacity> = fc.record({
  cpu: fc.integer({ min: 1, max: 8 }),
  memory: fc.integer({ min: 1, max: 8 }).map((n) => n * 2 ** 30),
  uplink: fc.option(fc.constantFrom(100_000_000, 1_000_000_000)),
});

/** As a node reports it while these switches are open. */
function nodeOf(
  node: NodeName,
  has: Capacity,
  containers: readonly { readonly tenant: TenantName; readonly limits: Limits }[],
  share: number | undefined,
  open: readonly Switch[],
): NodeLimits {
  const none = { app: {}, runtime: {}, plan: {}, cluster: {} };
  const told = containers.map((one, i): [string, ContainerLimits] => {
    const subject = {
      ...{
        node,
        zone: null,
        tenant: one.tenant,
        app: one.tenant,
        instance: `${one.tenant}-${i}`,
        labels: {},
      },
      ...{ containerId: `${node}${i}`, ifName: 'eth0' },
    } as unknown as Subject;
    const own = open.filter((each) => chooses(each, subject));
    const all = effective({
      base: baseOf({ ...none, app: one.limits }),
      switches: own,
      fields: LIMIT_FIELDS,
      capacity: has,
    });
    const now = { effective: valuesOf(all), switches: switchesOf(all) } as Pick<
      ContainerLimits,
      'effective' | 'switches'
    >;
    return [
      `${node}${i}/eth0`,
      {
        subject,
        base: one.limits as ContainerLimits['base'],
        ...now,
        shortfalls: [],
        readAt: NOW,
      } as unknown as ContainerLimits,
    ];
  });
  const shares = [...new Set(containers.map((one) => one.tenant))].map((name): [TenantName, TenantShare] => {
    const base = share === undefined ? {} : { 'tenant.net.external.out': share };
    const own = open.filter((each) => choosesShare(each, { tenant: name, node, zone: null }));
    const all = effective({ base: baseOf({ ...none, plan: base }), switches: own, fields: LIMIT_FIELDS });
    return [
      name,
      {
        tenant: name,
        base,
        effective: valuesOf(all) as TenantShare['effective'],
        switches: [],
        shortfalls: [],
        events: [],
      },
    ];
  });
  return {
    ...{ node, revision: 1, capacity: has, silentMs: 0, reachable: true },
    ...{ containers: new Map(told), shares: new Map(shares) },
  };
}

interface Situation {
  readonly world: SwitchWorld;
  readonly one: Switch;
}

const situation: fc.Arbitrary<Situation> = fc
  .record({
    one: switchOf,
    others: fc.array(switchOf, { maxLength: 2 }),
    nodes: fc.tuple(
      ...NODES.map((node) =>
        fc.record({
          node: fc.constant(node),
          has: capacity,
          containers: fc.array(fc.record({ tenant, limits }), { maxLength: 6 }),
          share: fc.option(fc.constantFrom(20_000_000, 400_000_000), { nil: undefined }),
        }),
      ),
    ),
    priorities: fc.tuple(...TENANTS.map(() => fc.integer({ min: -1, max: 1 }))),
  })
  .map(({ one, others, nodes, priorities }) => {
    const open = others.filter(({ from }) => from <= NOW);
    const plans = TENANTS.map((name, i): [TenantName, TenantPlan] => [
      name,
      { ...emptyPlan(name), priority: priorities[i] ?? 0 },
    ]);
    return {
      one,
      world: {
        now: NOW,
        nodes: nodes.map(({ node, has, containers, share }) => nodeOf(node, has, containers, share, open)),
        clusterNodes: [],
        zones: new Map(),
        plans: new Map(plans),
        switches: others,
      },
    };
  });

const WISH = { force: false, squeeze: false, all: true, newId: idOf };

describe('the plan of a switch', () => {
  always(
    'shows of each chosen container just what the algebra says of it then',
    situation,
    ({ one, world }) => {
      const { containers } = planSwitch(one, world, WISH);
      const at = Math.max(NOW, one.from);
      const open = [...world.switches.filter(({ from, until }) => from <= at && at < until), one];
      const all = world.nodes.flatMap((node) =>
        [...node.containers.values()].map((each) => ({ each, node })),
      );
      const chosen = all.filter(({ each }) => chooses(one, each.subject));
      expect(containers.map(({ subject }) => subject)).toEqual(chosen.map(({ each }) => each.subject));
      for (const [i, { each, node }] of chosen.entries()) {
        const base = baseOf({ app: each.base, runtime: {}, plan: {}, cluster: {} });
        const own = open.filter((other) => chooses(other, each.subject));
        const then = effective({ base, switches: own, fields: LIMIT_FIELDS, capacity: node.capacity });
        for (const { field, base: was, now, becomes, others } of containers[i]?.fields ?? []) {
          expect({ was, now }).toEqual({ was: each.base[field] ?? null, now: each.effective[field] ?? null });
          expect(becomes).toEqual(then[field].value);
          const others_ = then[field].steps.map((step) => step.switch).filter((id) => id !== one.id);
          expect([...others].sort()).toEqual(others_.sort());
        }
        expect(containers[i]?.fields.map(({ field }) => field).sort()).toEqual(
          Object.keys(one.changes).sort(),
        );
      }
      return chosen.length > 0;
    },
  );

  always('finds nothing missing where nothing is promised that was not', situation, ({ one, world }) => {
    const lowered = Object.fromEntries(
      Object.keys(one.changes).map((field) => [field, { do: 'scale', factor: 0.5 }]),
    );
    const { lacks } = planSwitch({ ...one, changes: lowered as Changes, priority: 1_000 }, world, WISH);
    expect(lacks).toEqual([]);
    return world.nodes.some(({ containers }) => containers.size > 0);
  });

  it('counts a container with two interfaces once where it has one cgroup, and twice where each has its rate', () => {
    const one = { tenant: TENANTS[0]!, limits: { cpu: 1, 'net.external.out': 100_000_000 } };
    const has = { cpu: 4, memory: 2 ** 30, uplink: 1_000_000_000 };
    const single = nodeOf(NODES[0]!, has, [one], undefined, []);
    const [first] = [...single.containers.values()];
    const second = { ...first!, subject: { ...first!.subject, ifName: 'eth9' as Subject['ifName'] } };
    const node = { ...single, containers: new Map([...single.containers, ['second', second]]) };
    const demand = (field: 'cpu' | 'net.external.out') =>
      demandOf(field, one.tenant, node, [], new Map()).demand;
    expect([demand('cpu'), demand('net.external.out')]).toEqual([1, 200_000_000]);
  });
});
