import fc from 'fast-check';
import { CGROUP_FIELDS, type CgroupField, type LimitValue } from '../model/limits.ts';
import type { IfName, TenantName } from '../model/names.ts';
import type { CgroupLimits, NodeRates, PortRates, TenantRates } from './contract.ts';
import type { Desired, DesiredContainer } from './desired.ts';
import { planCgroups, planRates } from './plan.ts';

const KEYS = ['c0/eth0', 'c1/eth0', 'c2/eth0'];
const BLUE = 'blue' as TenantName;

const anyValue = (field: CgroupField): fc.Arbitrary<LimitValue> =>
  field === 'cpu.set'
    ? fc.constantFrom(null, '0', '0-1', '1')
    : fc.option(fc.integer({ min: 1, max: 20 }).map((n) => n * 1_000_000));
/** @param always  whether each field is there */
const anyLimits = (always: boolean): fc.Arbitrary<CgroupLimits> =>
  fc
    .record(
      Object.fromEntries(CGROUP_FIELDS.map((field) => [field, anyValue(field)])),
      always ? {} : { requiredKeys: [] },
    )
    .map((limits) => limits as CgroupLimits);

const anyRate = fc.option(fc.integer({ min: 1, max: 9 }).map((n) => n * 1_000_000));
const anyPort = (key: string): fc.Arbitrary<PortRates> =>
  fc.record({ in: anyRate, out: anyRate }).map((rates) => ({
    ...{ hostIf: `se-${key[1]}` as IfName, side: 'external', tenant: BLUE },
    ...rates,
  }));
const isLimited = (rates: { in: number | null; out: number | null }): boolean =>
  rates.in !== null || rates.out !== null;

/** Of a container only what plans look at. */
const anyContainer = (key: string): fc.Arbitrary<DesiredContainer> =>
  fc
    .record({ cgroup: anyLimits(false), port: anyPort(key), mayKill: fc.boolean() })
    .map(({ cgroup, port, mayKill }) => {
      const ports = isLimited(port) ? [port] : [];
      return { key, cgroup, mayKill, ports } as unknown as DesiredContainer;
    });
const anyShare = fc
  .record({ in: anyRate, out: anyRate, borrow: fc.boolean() })
  .map((rates): TenantRates => ({ tenant: BLUE, side: 'external', ...rates }));

const anyDesired: fc.Arbitrary<Desired> = fc
  .record({
    containers: fc.tuple(...KEYS.map(anyContainer)),
    share: anyShare,
  })
  .map(({ containers, share }) => ({
    containers,
    strangers: [],
    shares: [{ tenant: BLUE, effective: {}, rates: isLimited(share) ? [share] : [], volumes: undefined }],
  }));
const anyKernel = fc
  .tuple(...KEYS.map(() => fc.option(anyLimits(true), { nil: undefined })))
  .map((limits) => new Map(KEYS.map((key, at) => [key, limits[at]])));
const anyRates: fc.Arbitrary<NodeRates> = fc
  .record({ ports: fc.tuple(...KEYS.map(anyPort)), share: anyShare })
  .map(({ ports, share }) => ({ ports: ports.filter(isLimited), tenants: isLimited(share) ? [share] : [] }));

describe('the plan of a node’s limits', () => {
  it('leads to what is wanted, and then has nothing to do', () => {
    fc.assert(
      fc.property(anyDesired, anyKernel, anyRates, (desired, kernel, rates) => {
        const after = new Map(kernel);
        for (const { key, set } of planCgroups(desired, kernel).actions)
          after.set(key, { ...kernel.get(key), ...set });
        for (const { key, cgroup } of desired.containers)
          if (kernel.get(key) !== undefined) expect(after.get(key)).toMatchObject(cgroup);
        expect(planCgroups(desired, after).actions).toEqual([]);
        const set = planRates(desired, new Set(), rates) ?? rates;
        expect(set.ports).toEqual(desired.containers.flatMap(({ ports }) => ports));
        expect(planRates(desired, new Set(), set)).toBeUndefined();
      }),
    );
  });

  it('writes only what differs, and knows how to go back', () => {
    fc.assert(
      fc.property(anyDesired, anyKernel, (desired, kernel) => {
        for (const { key, set, before } of planCgroups(desired, kernel).actions) {
          const { cgroup } = desired.containers.find((one) => one.key === key)!;
          expect(cgroup).toMatchObject(set);
          expect(kernel.get(key)).toMatchObject(before);
          expect(Object.keys(before)).toEqual(Object.keys(set));
          expect({ ...kernel.get(key), ...set, ...before }).toEqual(kernel.get(key));
          for (const field of Object.keys(set) as CgroupField[])
            expect(set[field]).not.toEqual(before[field]);
        }
      }),
    );
  });

  it('does the same in whatever order containers come', () => {
    fc.assert(
      fc.property(anyDesired, anyKernel, anyRates, (desired, kernel, rates) => {
        const turned = { ...desired, containers: [...desired.containers].reverse() };
        expect(new Set(planCgroups(turned, kernel).actions)).toEqual(
          new Set(planCgroups(desired, kernel).actions),
        );
        const [one, other] = [desired, turned].map((each) => planRates(each, new Set(), rates));
        expect(one === undefined).toBe(other === undefined);
        expect(new Set(other?.ports)).toEqual(new Set(one?.ports));
      }),
    );
  });

  it('leaves the ports of a container as they are whose cgroup was refused', () => {
    fc.assert(
      fc.property(anyDesired, anyRates, (desired, rates) => {
        const left = new Set(['se-1' as IfName]);
        const set = planRates(desired, left, rates) ?? rates;
        const ofLeft = ({ ports }: NodeRates): PortRates[] => ports.filter(({ hostIf }) => left.has(hostIf));
        expect(ofLeft(set)).toEqual(ofLeft(rates));
      }),
    );
  });

  it('says of each container without a cgroup which limits it lacks for want of one', () => {
    fc.assert(
      fc.property(anyDesired, (desired) => {
        const { actions, shortfalls } = planCgroups(desired, new Map());
        expect(actions).toEqual([]);
        for (const { key, cgroup } of desired.containers) {
          const lacking = (shortfalls.get(key) ?? []).map(({ field, wanted }) => [field, wanted]);
          for (const [field, wanted] of lacking) expect(cgroup[field as CgroupField]).toBe(wanted);
          if (typeof cgroup.memory === 'number') expect(lacking).toContainEqual(['memory', cgroup.memory]);
        }
      }),
    );
  });
});
