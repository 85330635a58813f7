/** Opening with squeezing, in random clusters: what is opened fits, and nobody pays who must not. */
import fc from 'fast-check';
import { baseOf, effective } from '../../model/effective-limits.ts';
import type { ContainerLimits } from '../../model/limits-report.ts';
import type { NodeName, TenantName } from '../../model/names.ts';
import { emptyPlan, type TenantPlan } from '../../model/plan.ts';
import { Switch, SwitchId } from '../../model/switch.ts';
import { chooses } from '../../model/switch-scope.ts';
import { LimitReports } from '../../orchestrator/server/limit-reports.ts';
import {
  planSwitch,
  type SwitchForecast,
  type SwitchWorld,
} from '../../orchestrator/server/switch-planning.ts';

const RUNS = 2_000;
const TENANTS = ['shop', 'batch', 'test', 'more'] as const;
const NODES = ['a', 'b'] as NodeName[];

interface Sample {
  readonly containers: readonly { tenant: string; node: NodeName; cpu: number | null; out: number | null }[];
  readonly priorities: readonly number[];
  readonly capacity: number;
  readonly others: readonly { tenant: string; factor: number }[];
  readonly wish: { tenant: string; cpu: number; out: number; percent: number; squeeze: boolean };
}

const cores = fc.integer({ min: 1, max: 400 }).map((n) => n / 100);
const mbit = fc.integer({ min: 1, max: 900 }).map((n) => n * 1e6);
const tenant = fc.constantFrom(...TENANTS);
const sample: fc.Arbitrary<Sample> = fc.record({
  containers: fc.array(
    fc.record({ tenant, node: fc.constantFrom(...NODES), cpu: fc.option(cores), out: fc.option(mbit) }),
    { minLength: 1, maxLength: 14 },
  ),
  priorities: fc.array(fc.integer({ min: -2, max: 2 }), { minLength: 4, maxLength: 4 }),
  capacity: fc.integer({ min: 1, max: 16 }),
  others: fc.array(fc.record({ tenant, factor: fc.constantFrom(0.5, 1.5, 2) }), { maxLength: 3 }),
  wish: fc.record({
    ...{ tenant, cpu: cores, out: mbit, percent: fc.constantFrom(20, 60, 100), squeeze: fc.boolean() },
  }),
});

function aSwitch(id: string, of: string, changes: object, percent = 100): Switch {
  return Switch.parse({
    ...{ id, name: 's', select: { tenant: [of] }, changes, percent, priority: 0, from: 0, until: 10 },
    ...{ repeat: null, reason: 'why', openedBy: 'root', openedAt: Number(id.at(-1)) },
  });
}

function planned({ containers, priorities, capacity, others, wish }: Sample): {
  world: SwitchWorld;
  plan: SwitchForecast;
} {
  const reports = new LimitReports(() => 0);
  for (const node of NODES) {
    const own = containers.flatMap((one, i) => (one.node === node ? [{ ...one, i }] : []));
    reports.take({
      ...{
        node,
        revision: 1,
        capacity: { cpu: capacity, memory: 1e12, uplink: capacity * 1e8 },
        whole: true,
      },
      ...{ gone: [], tenants: [] },
      containers: own.map(({ tenant: whose, cpu, out, i }) => {
        const subject = {
          node,
          zone: null,
          tenant: whose,
          app: null,
          instance: `c${i}`,
          containerId: `c${i}`,
        };
        const base = { cpu, 'net.external.out': out };
        return {
          ...{ subject: { ...subject, ifName: 'eth0', labels: {} }, base, effective: base },
          ...{ switches: [], shortfalls: [], readAt: 0 },
        } as unknown as ContainerLimits;
      }),
    });
  }
  const plans = TENANTS.map((name, i): TenantPlan => {
    return { ...emptyPlan(name as string as TenantName), priority: priorities[i] ?? 0 };
  });
  const world: SwitchWorld = {
    ...{ now: 0, nodes: reports.nodes(), clusterNodes: [], zones: new Map() },
    plans: new Map(plans.map((plan) => [plan.tenant, plan])),
    switches: others.map((other, i) =>
      aSwitch(`sw-0000000${i}`, other.tenant, { cpu: { do: 'scale', factor: other.factor } }),
    ),
  };
  const { cpu, out, percent, squeeze } = wish;
  const changes = { cpu: { do: 'set', value: cpu }, 'net.external.out': { do: 'set', value: out } };
  let made = 0;
  const plan = planSwitch(aSwitch('sw-00000009', wish.tenant, changes, percent), world, {
    ...{ force: false, squeeze, all: true },
    newId: () => SwitchId.parse(`sw-1000000${made++}`),
  });
  return { world, plan };
}

const FIELDS = ['cpu', 'net.external.out'] as const;
type Field = (typeof FIELDS)[number];

/** Worked out container by container, with nothing but the algebra. */
function held(one: ContainerLimits, field: Field, open: readonly Switch[]): number | null {
  const own = open.filter((other) => chooses(other, one.subject));
  const base = baseOf({ app: one.base, runtime: {}, plan: {}, cluster: {} });
  return effective({ base, switches: own, fields: FIELDS })[field].value as number | null;
}

function sums({ nodes }: SwitchWorld, field: Field, open: readonly Switch[]): number[] {
  return nodes.map(({ containers }) =>
    [...containers.values()].reduce((sum, one) => sum + (held(one, field, open) ?? 0), 0),
  );
}

let runs = 0;
let squeezed = 0;
let refused = 0;

function always(name: string, check: (input: ReturnType<typeof planned>) => void): void {
  it(name, () => {
    fc.assert(
      fc.property(sample, (input) => {
        runs += 1;
        const made = planned(input);
        if (made.plan.squeezes.length > 0) squeezed += 1;
        if (made.plan.refusal !== null) refused += 1;
        check(made);
      }),
      { numRuns: RUNS },
    );
  });
}

afterAll(() => {
  process.stdout.write(`${runs} plans: ${refused} refused, ${squeezed} with squeezes\n`);
  expect(Math.min(refused, squeezed, runs - refused)).toBeGreaterThan(RUNS / 20);
});

describe('a switch that is not refused', () => {
  always('promises no more than a node has, or than it had promised before', ({ world, plan }) => {
    if (plan.refusal !== null) return;
    const after = [...world.switches, plan.switch, ...plan.squeezes];
    for (const [field, has] of [
      ['cpu', (i: number) => world.nodes[i]?.capacity.cpu],
      ['net.external.out', (i: number) => world.nodes[i]?.capacity.uplink],
    ] as const) {
      const was = sums(world, field, world.switches);
      sums(world, field, after).forEach((sum, i) => {
        expect(sum).toBeLessThanOrEqual(Math.max(Number(has(i)), was[i] ?? 0) * (1 + 1e-6));
      });
    }
  });
});

describe('what is refused for want of room', () => {
  always('would promise more than some node has', ({ world, plan }) => {
    if (plan.refusal?.code !== 'refused') return;
    const after = [...world.switches, plan.switch, ...plan.squeezes];
    const over = FIELDS.some((field) =>
      sums(world, field, after).some((sum, i) => {
        const capacity = world.nodes[i]?.capacity;
        return sum > Number(field === 'cpu' ? capacity?.cpu : capacity?.uplink);
      }),
    );
    expect(over).toBe(true);
  });
});

describe('squeezing', () => {
  always('takes from lower tenants only, and leaves each container a quarter', ({ world, plan }) => {
    const before = [...world.switches, plan.switch];
    const after = [...before, ...plan.squeezes];
    const priority = (of: TenantName): number => world.plans.get(of)?.priority ?? 0;
    const least = Math.min(...plan.containers.map(({ subject }) => priority(subject.tenant)));
    const all = world.nodes.flatMap(({ containers }) => [...containers.values()]);
    const squeezedOnes = all.flatMap((one) =>
      FIELDS.map((field) => ({
        one,
        was: held(one, field, before),
        is: held(one, field, after),
      })).filter(({ was, is }) => was !== is),
    );
    for (const { one, was, is } of squeezedOnes) {
      expect(priority(one.subject.tenant)).toBeLessThan(least);
      expect(Number(is)).toBeGreaterThanOrEqual(Number(was) * 0.249);
    }
  });
});
