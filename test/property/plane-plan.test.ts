import fc from 'fast-check';
import type { Cidr, Ipv4 } from '../../model/addresses.ts';
import type { KeyBits } from '../../model/keys.ts';
import { DEFAULT_MARK_MASK } from '../../model/mark.ts';
import type { KeyEpoch } from '../../model/names.ts';
import {
  MAP_NAMES,
  type MapName,
  type PlaneConf,
  PROGRAM_NAMES,
  type ProgramName,
} from '../../tagqueue/maps.ts';
import { type DesiredPlane, type ObservedPlane, type PlaneAction, planPlane } from '../../tagqueue/plan.ts';

const UPLINK = 2;
const epoch = fc.integer({ min: 0, max: 3 }).map((epoch) => epoch as KeyEpoch);
const secret = fc.constantFrom('aa', 'bb').map((secret) => secret as KeyBits);
const keys = fc.array(fc.tuple(epoch, secret), { maxLength: 4 }).map((pairs) => new Map(pairs));
const block = fc.constantFrom('10.64.0.0/22', '10.64.4.0/22').map((block) => block as Cidr);
const conf: fc.Arbitrary<PlaneConf> = fc.record({
  internalPool: fc.constant('10.64.0.0/12' as Cidr),
  ownBlock: block,
  epoch,
  markMask: fc.constant(DEFAULT_MARK_MASK),
  uplink: fc.constant(UPLINK),
  uplinkAddress: fc.constant('192.0.2.1' as Ipv4),
  carrier: fc.constantFrom('option', 'vxlan'),
  vxlanPort: fc.constant(4789),
  card: fc.boolean(),
  fastPath: fc.boolean(),
  pool6: fc.constant(undefined),
});
const etherTypes = fc.uniqueArray(fc.constantFrom(0x86dd, 0x88b5, 0x88f7)).map((types) => new Set(types));
const digest = fc.constantFrom('old', 'new');

const cluster = fc
  .record({ conf, keys, secret })
  .map(({ conf, keys, secret }) => ({ conf, keys: new Map([...keys, [conf.epoch, secret]]) }));
const anyDesired: fc.Arbitrary<DesiredPlane> = fc.record({
  digest,
  uplink: fc.constant(UPLINK),
  etherTypes,
  cluster: fc.option(cluster, { nil: undefined }),
});

const programs = fc
  .array(fc.tuple(fc.constantFrom(...PROGRAM_NAMES), fc.integer({ min: 100, max: 109 })))
  .map((pairs): Map<ProgramName, number> => new Map(pairs));
const attached = fc
  .array(fc.record({ ifindex: fc.integer({ min: 2, max: 5 }), id: fc.integer({ min: 100, max: 109 }) }), {
    maxLength: 4,
  })
  .map((places) =>
    places.flatMap(({ ifindex, id }) =>
      (ifindex === UPLINK ? (['uplink_in', 'uplink_out'] as const) : (['port_in', 'port_out'] as const)).map(
        (name) => ({
          ifindex,
          name,
          id,
        }),
      ),
    ),
  )
  .map((all) => [...new Map(all.map((one) => [`${one.ifindex}/${one.name}`, one])).values()]);
const mapNames = fc.subarray([...MAP_NAMES]);
const anyObserved: fc.Arbitrary<ObservedPlane> = fc.record({
  maps: mapNames.map((names) => new Set(names)),
  usedMaps: mapNames.map(
    (names) => new Map(names.map((name, index): [MapName, number] => [name, 200 + index])),
  ),
  programs,
  outdated: fc.constantFrom([], ['ancient']),
  attached,
  conf: fc.option(conf, { nil: undefined }),
  keys,
  etherTypes,
});

/** The smallest model of the kernel: what it would hold after one more action. */
function after(plane: ObservedPlane, action: PlaneAction): ObservedPlane {
  switch (action.do) {
    case 'adopt-map':
      return { ...plane, maps: new Set([...plane.maps, action.name]) };
    case 'load':
      return {
        ...plane,
        maps: new Set(MAP_NAMES),
        programs: new Map(PROGRAM_NAMES.map((name, index) => [name, 1000 + index])),
      };
    case 'allow-ethertype':
      return { ...plane, etherTypes: new Set([...plane.etherTypes, action.etherType]) };
    case 'forbid-ethertype':
      return {
        ...plane,
        etherTypes: new Set([...plane.etherTypes].filter((type) => type !== action.etherType)),
      };
    case 'set-key':
      return { ...plane, keys: new Map([...plane.keys, [action.epoch, action.secret]]) };
    case 'withdraw-key':
      return { ...plane, keys: new Map([...plane.keys].filter(([epoch]) => epoch !== action.epoch)) };
    case 'configure':
      return { ...plane, conf: action.conf };
    case 'attach': {
      const others = plane.attached.filter(
        ({ ifindex, name }) => ifindex !== action.ifindex || name !== action.name,
      );
      const id = plane.programs.get(action.name)!;
      return { ...plane, attached: [...others, { ifindex: action.ifindex, name: action.name, id }] };
    }
    case 'forget-programs':
      return { ...plane, outdated: plane.outdated.filter((digest) => digest !== action.digest) };
  }
}

const afterAll = (plane: ObservedPlane, actions: readonly PlaneAction[]): ObservedPlane =>
  actions.reduce(after, plane);

/** Every state on the way, the first included. */
function states(desired: DesiredPlane, observed: ObservedPlane): ObservedPlane[] {
  const actions = planPlane(desired, observed);
  return [observed, ...actions.map((_, index) => afterAll(observed, actions.slice(0, index + 1)))];
}

describe('planPlane', () => {
  it('leads to the desired plane from any start', () => {
    fc.assert(
      fc.property(anyDesired, anyObserved, (desired, observed) => {
        const end = afterAll(observed, planPlane(desired, observed));
        expect(end.maps).toEqual(new Set(MAP_NAMES));
        expect(end.etherTypes).toEqual(desired.etherTypes);
        expect(end.outdated).toEqual([]);
        if (desired.cluster) expect({ conf: end.conf, keys: end.keys }).toEqual(desired.cluster);
        for (const { ifindex, name, id } of end.attached) {
          if (ifindex !== UPLINK || end.conf) expect(id).toBe(end.programs.get(name));
        }
        const onUplink = end.attached.filter(({ ifindex }) => ifindex === UPLINK).map(({ name }) => name);
        if (end.conf) expect(onUplink.sort()).toEqual(['uplink_in', 'uplink_out']);
      }),
    );
  });

  it('has nothing left to do when it is done, and goes on after a crash at any step', () => {
    fc.assert(
      fc.property(anyDesired, anyObserved, (desired, observed) => {
        for (const crashed of states(desired, observed)) {
          const end = afterAll(crashed, planPlane(desired, crashed));
          expect(planPlane(desired, end)).toEqual([]);
        }
      }),
    );
  });

  it('never takes a program away, only exchanges it', () => {
    fc.assert(
      fc.property(anyDesired, anyObserved, (desired, observed) => {
        const places = (plane: ObservedPlane): string[] =>
          plane.attached.map(({ ifindex, name }) => `${ifindex}/${name}`);
        for (const state of states(desired, observed)) {
          expect(places(state)).toEqual(expect.arrayContaining(places(observed)));
        }
      }),
    );
  });

  it('gives the uplink no program that does not know the pool', () => {
    fc.assert(
      fc.property(anyDesired, anyObserved, (desired, observed) => {
        for (const [index, action] of planPlane(desired, observed).entries()) {
          if (action.do !== 'attach' || action.ifindex !== UPLINK || !action.name.startsWith('uplink'))
            continue;
          expect(states(desired, observed)[index]!.conf).toBeDefined();
        }
      }),
    );
  });

  it('stamps with no key before it is there, and withdraws none that is still stamped with', () => {
    fc.assert(
      fc.property(anyDesired, anyObserved, (desired, observed) => {
        fc.pre(observed.conf === undefined || observed.keys.has(observed.conf.epoch));
        for (const { conf, keys } of states(desired, observed))
          if (conf) expect(keys.has(conf.epoch)).toBe(true);
      }),
    );
  });

  it('adopts a map that is in use rather than make an empty one', () => {
    fc.assert(
      fc.property(anyDesired, anyObserved, (desired, observed) => {
        const actions = planPlane(desired, observed);
        const loadAt = actions.findIndex((action) => action.do === 'load');
        const adopted = actions.flatMap((action, at) =>
          action.do === 'adopt-map' && at < loadAt ? [action.name] : [],
        );
        const lost = MAP_NAMES.filter((name) => !observed.maps.has(name) && observed.usedMaps.has(name));
        expect(adopted).toEqual(lost);
      }),
    );
  });

  it('keeps the keys of before as long as the server was not heard', () => {
    fc.assert(
      fc.property(anyDesired, anyObserved, (desired, observed) => {
        const end = afterAll(observed, planPlane({ ...desired, cluster: undefined }, observed));
        expect(end.keys).toEqual(observed.keys);
      }),
    );
  });
});
