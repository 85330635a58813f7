import fc from 'fast-check';
import type { TenantName } from '../../model/names.ts';
import { UNLIMITED_RATE } from './shape.ts';
import {
  inBytes,
  type ObservedClass,
  type ObservedTree,
  openedWide,
  planTree,
  rateOfQueue,
  shareOf,
  strayRates,
  type TenantShare,
  type TreePlan,
  type WantedTree,
} from './tree.ts';

const EMPTY: ObservedTree = { root: true, classes: new Map(), ports: new Map() };
const BLUE = 'blue' as TenantName;
const RED = 'red' as TenantName;

function wanted(
  ports: readonly (readonly [number, TenantName, number | null])[],
  shares: Readonly<Record<string, TenantShare>> = {},
): WantedTree {
  return {
    ports: ports.map(([ifindex, tenant, rate]) => ({ ifindex, tenant, rate })),
    tenants: new Map(Object.entries(shares) as [TenantName, TenantShare][]),
    mtu: 1_500,
  };
}

/** The tree as the kernel would have it after a plan. */
function applied(observed: ObservedTree, plan: TreePlan): ObservedTree {
  const classes = new Map<number, ObservedClass>(plan.plant ? [] : observed.classes);
  for (const { minor, parent, rate, ceil } of plan.classes) {
    const before = classes.get(minor);
    expect(before === undefined || before.parent === parent).toBe(true);
    if (parent !== undefined) expect(classes.has(parent)).toBe(true);
    classes.set(minor, { minor, parent, rate, ceil, queue: before?.queue });
  }
  for (const { minor, queue } of plan.queues) classes.set(minor, { ...classes.get(minor)!, queue });
  const ports = new Map(observed.ports);
  for (const { ifindex, minor } of plan.lead) ports.set(ifindex, minor);
  for (const { ifindex } of plan.lift) ports.set(ifindex, 0);
  for (const minor of plan.remove) {
    expect([...classes.values()].some(({ parent }) => parent === minor)).toBe(false);
    expect([...ports.values()]).not.toContain(minor);
    classes.delete(minor);
  }
  return { root: true, classes, ports };
}

const isEmpty = ({ plant, ...steps }: TreePlan): boolean =>
  !plant && Object.values(steps).every((list) => list.length === 0);

const share = fc.record({
  aggregate: fc.option(fc.integer({ min: 1e6, max: 1e10 }).map((rate) => rate * 8)),
  borrow: fc.boolean(),
});
const trees = fc
  .tuple(
    fc.uniqueArray(
      fc.tuple(
        fc.integer({ min: 1, max: 30 }),
        fc.constantFrom(BLUE, RED),
        fc.option(fc.integer({ min: 1e6, max: 2 ** 40 - 1 })),
      ),
      { selector: ([ifindex]) => ifindex, maxLength: 12 },
    ),
    fc.record({ blue: share, red: share }),
  )
  .map(([ports, shares]) => wanted(ports, shares));

describe('the plan of a tree', () => {
  it('leads from any tree to any other, and then there is nothing left to do', () => {
    fc.assert(
      fc.property(trees, trees, fc.boolean(), (first, second, lost) => {
        const before = applied(EMPTY, planTree(first, EMPTY));
        const seen = lost ? { ...before, root: false, classes: new Map() } : before;
        const after = applied(seen, planTree(second, seen));
        expect(isEmpty(planTree(second, after))).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  it('finds every class that somebody else has changed, and no other', () => {
    const rate = fc.integer({ min: 1e5, max: 1e12 });
    fc.assert(
      fc.property(trees, rate, fc.nat(), (tree, other, index) => {
        const held = applied(EMPTY, planTree(tree, EMPTY));
        expect(strayRates(tree, held)).toEqual(new Map());
        const leaves = [...held.classes.values()].filter(({ parent }) => parent !== undefined);
        const victim = leaves[index % (leaves.length || 1)];
        fc.pre(victim !== undefined && Math.abs(victim.ceil - other) > 100);
        const changed = new Map([...held.classes, [victim.minor, { ...victim, rate: other, ceil: other }]]);
        expect(strayRates(tree, { ...held, classes: changed })).toEqual(new Map([[victim.minor, other * 8]]));
      }),
      { numRuns: 1_000 },
    );
  });

  it('leaves the kernel with everything that was wanted, to the bit', () => {
    fc.assert(
      fc.property(trees, (tree) => {
        const { classes, ports } = applied(EMPTY, planTree(tree, EMPTY));
        for (const { ifindex, tenant, rate } of tree.ports) {
          const leaf = classes.get(ports.get(ifindex) ?? 0)!;
          expect(rateOfQueue(leaf.queue)).toBe(rate);
          expect(shareOf(classes.get(leaf.parent!)!)).toEqual(tree.tenants.get(tenant));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('assures the ports of a tenant no more than his share together', () => {
    fc.assert(
      fc.property(trees, (tree) => {
        const { classes } = applied(EMPTY, planTree(tree, EMPTY));
        for (const one of [...classes.values()].filter(({ parent }) => parent === undefined)) {
          const leaves = [...classes.values()].filter(({ parent }) => parent === one.minor);
          const assured = leaves.reduce((sum, { rate }) => sum + rate, 0);
          if (shareOf(one).aggregate !== null) expect(assured).toBeLessThanOrEqual(one.rate);
          for (const { rate, ceil } of leaves) expect(rate).toBeLessThanOrEqual(ceil);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('changes a class where it stands: what waits there goes on waiting', () => {
    const before = applied(EMPTY, planTree(wanted([[7, BLUE, 10e6]]), EMPTY));
    const plan = planTree(wanted([[7, BLUE, 20e6]]), before);
    expect(plan).toMatchObject({ plant: false, lead: [], lift: [], remove: [] });
    expect(plan.classes).toEqual([
      expect.objectContaining({ minor: before.ports.get(7), rate: inBytes(20e6), ceil: inBytes(20e6) }),
    ]);
  });

  it('opens a class wide before it goes, and that of its tenant with the last one', () => {
    const before = applied(
      EMPTY,
      planTree(
        wanted([
          [7, BLUE, 10e6],
          [8, BLUE, 10e6],
        ]),
        EMPTY,
      ),
    );
    const one = planTree(wanted([[8, BLUE, 10e6]]), before);
    const minor = before.ports.get(7)!;
    const { parent } = before.classes.get(minor)!;
    expect(one).toMatchObject({ lift: [{ ifindex: 7, minor, tenant: parent }], remove: [minor] });
    expect(openedWide(one.lift[0]!, one.remove)).toEqual([
      expect.objectContaining({ minor, parent, rate: inBytes(UNLIMITED_RATE) }),
    ]);
    const both = planTree(wanted([]), before);
    expect(both.remove.at(-1)).toBe(parent);
    expect(openedWide(both.lift[0]!, both.remove)).toHaveLength(2);
  });

  it('shares: in proportion where there is not enough, the own rate where there is', () => {
    const tight = { aggregate: 60e6, borrow: false };
    const leaves = (tree: WantedTree): [number, number][] => {
      const { classes, ports } = applied(EMPTY, planTree(tree, EMPTY));
      return tree.ports.map(({ ifindex }) => {
        const { rate, ceil } = classes.get(ports.get(ifindex)!)!;
        return [rate * 8, ceil * 8];
      });
    };
    expect(
      leaves(
        wanted(
          [
            [1, BLUE, 30e6],
            [2, BLUE, 90e6],
          ],
          { blue: tight },
        ),
      ),
    ).toEqual([
      [15e6, 30e6],
      [45e6, 60e6],
    ]);
    expect(
      leaves(
        wanted(
          [
            [1, BLUE, 10e6],
            [2, BLUE, null],
          ],
          { blue: { aggregate: 100e6, borrow: true } },
        ),
      ),
    ).toEqual([
      [inBytes(100e6 / 11) * 8, 100e6],
      [inBytes(1000e6 / 11) * 8, 100e6],
    ]);
  });

  it('removes what no port is led through', () => {
    const before = applied(EMPTY, planTree(wanted([[7, BLUE, 10e6]]), EMPTY));
    const gone = { ...before, ports: new Map() };
    const plan = planTree(wanted([]), gone);
    expect(plan).toMatchObject({ lift: [], lead: [] });
    expect(plan.remove).toHaveLength(2);
  });
});
