import fc from 'fast-check';
import { type Base, baseOf, type Effective, effective } from '../../model/effective-limits.ts';
import {
  type Capacity,
  LIMIT_FIELDS,
  LIMIT_UNITS,
  type LimitField,
  type Limits,
  type LimitValue,
  Subject,
  VOLUME_FIELDS,
} from '../../model/limits.ts';
import { FlatLimits, fieldsOf, LimitsWords } from '../../model/limits-tree.ts';
import { boundsOf, parseLimit, printLimit } from '../../model/quantity.ts';
import { type Change, type Changes, Switch } from '../../model/switch.ts';
import { chooses } from '../../model/switch-scope.ts';
import { isOpenAt, windowAt } from '../../model/switch-windows.ts';

const RUNS = 1_000;
const ran = new Map<string, number>();

/** Holds a thousand times or more, and says how often it was tried. */
function always<T>(name: string, arbitrary: fc.Arbitrary<T>, check: (input: T) => void): void {
  it(name, () => {
    let runs = 0;
    fc.assert(
      fc.property(arbitrary, (input) => {
        runs += 1;
        check(input);
      }),
      { numRuns: RUNS },
    );
    expect(runs).toBeGreaterThanOrEqual(RUNS);
    ran.set(name, runs);
  });
}

afterAll(() => {
  const lines = [...ran].map(([name, runs]) => `${String(runs).padStart(6)} runs: ${name}`);
  process.stdout.write(`${lines.join('\n')}\n`);
});

const field = fc.constantFrom(...LIMIT_FIELDS);
const cpuList = fc
  .uniqueArray(fc.integer({ min: 0, max: 127 }), { minLength: 1, maxLength: 12 })
  .map((cpus) => parseLimit('cpu.set', cpus.join(',')));

/** What somebody may ask for. */
function wantedOf(of: LimitField): fc.Arbitrary<LimitValue> {
  const bounds = boundsOf(of);
  if (bounds === undefined) return fc.option(cpuList);
  const { min, max } = bounds;
  if (LIMIT_UNITS[of] === 'cores') return fc.option(fc.double({ min, max, noNaN: true }));
  const round = fc.integer({ min: 1, max: 999 }).map((n) => Math.min(max, Math.max(min, n * 1_000_000)));
  return fc.option(fc.oneof(fc.integer({ min, max: Math.min(max, Number.MAX_SAFE_INTEGER) }), round));
}

const limitsOf = (values: (of: LimitField) => fc.Arbitrary<LimitValue>): fc.Arbitrary<Limits> =>
  fc
    .record(Object.fromEntries(LIMIT_FIELDS.map((one) => [one, fc.option(values(one), { nil: undefined })])))
    .map((all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)));
const limits = limitsOf(wantedOf);
/** The kernel may hold what nobody may ask for. */
const odd = limitsOf((of) =>
  of === 'cpu.set' ? fc.option(cpuList) : fc.option(fc.double({ min: 0, max: 1e15, noNaN: true })),
);
const base: fc.Arbitrary<Base> = fc
  .record({ app: limits, runtime: odd, plan: limits, cluster: limits })
  .map(baseOf);
/** As one that most fields have. */
const fullBase = base.map((one): Base => {
  const filled = LIMIT_FIELDS.map((of) => [
    of,
    one[of].source === 'none' ? { value: 5_000_000, source: 'plan' } : one[of],
  ]);
  return Object.fromEntries(filled);
});

const factor = fc.oneof(fc.constantFrom(0.5, 2, 1.5, 1), fc.double({ min: 0.001, max: 1_000, noNaN: true }));
const changeOf = (of: LimitField): fc.Arbitrary<Change> => {
  const set = wantedOf(of).map((value): Change => ({ do: 'set', value }));
  const lift = fc.constant<Change>({ do: 'lift' });
  const scale = factor.map((by): Change => ({ do: 'scale', factor: by }));
  return of === 'cpu.set' ? fc.oneof(set, lift) : fc.oneof(set, lift, scale);
};
/** Few fields, so that switches meet. */
const FEW = ['cpu', 'memory', 'pids', 'cpu.set', 'net.external.out'] as const;
const changes = (fields: readonly LimitField[] = FEW): fc.Arbitrary<Changes> =>
  fc
    .uniqueArray(fc.constantFrom(...fields), { minLength: 1 })
    .chain((some) =>
      fc.record(Object.fromEntries(some.map((one) => [one, changeOf(one)]))),
    ) as fc.Arbitrary<Changes>;
const idOf = (n: number): string => `sw-${n.toString(36).padStart(8, '0')}`;
const switchWith = (what: fc.Arbitrary<Changes>): fc.Arbitrary<Switch> =>
  fc
    .record({
      id: fc.nat({ max: 36 ** 6 }).map(idOf),
      changes: what,
      priority: fc.integer({ min: -1, max: 1 }),
      openedAt: fc.nat({ max: 3 }),
      percent: fc.integer({ min: 1, max: 100 }),
    })
    .map((some) =>
      Switch.parse({
        ...{
          name: 'peak',
          select: {},
          from: 0,
          until: 10,
          repeat: null,
          reason: 'a property',
          openedBy: 'op',
        },
        ...some,
      }),
    );
const switches = (what = changes()): fc.Arbitrary<Switch[]> =>
  fc.uniqueArray(switchWith(what), { maxLength: 6, selector: ({ id }) => id });
const capacity: fc.Arbitrary<Capacity> = fc.record({
  cpu: fc.integer({ min: 1, max: 256 }),
  memory: fc.integer({ min: 2 ** 27, max: 2 ** 42 }),
  uplink: fc.option(fc.integer({ min: 1e6, max: 1e11 })),
});

const all = (of: Base, with_: readonly Switch[], has?: Capacity): Effective =>
  effective({ base: of, switches: with_, fields: LIMIT_FIELDS, capacity: has });
const values = (of: Effective) => LIMIT_FIELDS.map((one) => [one, of[one].value]);
const baseValues = (of: Base) => LIMIT_FIELDS.map((one) => [one, of[one].value]);

describe('the limit algebra', () => {
  always('without a switch, limits are the base', fc.tuple(base, capacity), ([of, has]) => {
    expect(values(all(of, [], has))).toEqual(baseValues(of));
  });

  always(
    'when all switches are closed, limits are the base exactly',
    fc.tuple(base, switches(changes(LIMIT_FIELDS)), capacity, fc.nat({ max: 20 })),
    ([of, some, has, now]) => {
      const closed = some.map((one) => ({ ...one, closed: { by: 'op', at: now, reason: 'enough' } }));
      const ended = [closed, some.map((one) => ({ ...one, until: now }))];
      for (const over of ended) {
        const open = over.filter((one) => isOpenAt(one, now));
        expect(values(all(of, open, has))).toEqual(baseValues(of));
      }
    },
  );

  always(
    'the order in which switches arrive has no part in it',
    switches().chain((some) =>
      fc.tuple(base, fc.constant(some), fc.shuffledSubarray(some, { minLength: some.length }), capacity),
    ),
    ([of, some, shuffled, has]) => {
      expect(all(of, shuffled, has)).toEqual(all(of, some, has));
    },
  );

  always(
    'lift beats set and scale of the same priority',
    fc.tuple(fullBase, switches(), fc.nat({ max: 3 })),
    ([of, some, openedAt]) => {
      const top = Math.max(0, ...some.map(({ priority }) => priority));
      const lift = Switch.parse({
        ...{ id: 'sw-zzzzzzzz', name: 'lift', select: {}, changes: { cpu: { do: 'lift' } }, percent: 100 },
        ...{
          priority: top,
          from: 0,
          until: 10,
          repeat: null,
          reason: 'a property',
          openedBy: 'op',
          openedAt,
        },
      });
      expect(all(of, [lift, ...some]).cpu.value).toBeNull();
    },
  );

  always(
    'a switch touches no field that it does not name',
    fc.tuple(base, switches(), switchWith(changes(LIMIT_FIELDS)), capacity),
    ([of, some, one, has]) => {
      const [without, with_] = [all(of, some, has), all(of, [...some, one], has)];
      for (const each of LIMIT_FIELDS) {
        if (one.changes[each] === undefined) expect(with_[each]).toEqual(without[each]);
      }
    },
  );

  always(
    'of memory nobody whom a switch reaches has more than the node',
    fc.tuple(base, switches(changes(['memory'])), capacity),
    ([of, some, has]) => {
      const { memory } = all(of, some, has);
      const free = all(of, some).memory.value ?? Number.POSITIVE_INFINITY;
      const wanted = some.length === 0 ? of.memory.value : Math.min(Number(free), has.memory);
      expect(memory.value).toBe(wanted);
      expect(memory.capped).toBe(some.length > 0 && Number(free) > has.memory);
    },
  );

  always(
    'whoever has the lower base is never given more',
    fc.tuple(fullBase, fullBase, switches(changes(VOLUME_FIELDS))),
    ([one, other, some]) => {
      const amount = (value: LimitValue): number => Number(value ?? Number.POSITIVE_INFINITY);
      for (const each of VOLUME_FIELDS) {
        const isLower = amount(one[each].value) <= amount(other[each].value);
        const [lower, higher] = isLower ? [one, other] : [other, one];
        const [less, more] = [all(lower, some)[each].value, all(higher, some)[each].value];
        expect(amount(less)).toBeLessThanOrEqual(amount(more));
      }
    },
  );

  always(
    'to scale twice is to scale by the product',
    fc.tuple(
      fc.constantFrom<LimitField>('cpu', 'memory', 'pids', 'net.external.out'),
      fullBase,
      fc.double({ min: 0.04, max: 30, noNaN: true }),
      fc.double({ min: 0.04, max: 30, noNaN: true }),
    ),
    ([of, from, one, other]) => {
      const scale = (by: number, n: number) =>
        Switch.parse({
          ...{
            id: idOf(n),
            name: 'scale',
            select: {},
            changes: { [of]: { do: 'scale', factor: by } },
            percent: 100,
          },
          ...{
            priority: 0,
            from: 0,
            until: 10,
            repeat: null,
            reason: 'a property',
            openedBy: 'op',
            openedAt: n,
          },
        });
      const twice = all(from, [scale(one, 1), scale(other, 2)])[of].value;
      expect(twice).toBe(all(from, [scale(one * other, 3)])[of].value);
    },
  );

  always(
    'whatever is scaled makes sense, or is no further from it than it was',
    fc.tuple(fullBase, switchWith(changes()), switchWith(changes())),
    ([of, one, other]) => {
      const result = all(of, [one, other]);
      for (const each of FEW) {
        const bounds = boundsOf(each);
        const { value, base: was, steps } = result[each];
        if (bounds === undefined || typeof value !== 'number' || steps.length === 0) continue;
        expect(value).toBeGreaterThanOrEqual(Math.min(bounds.min, Number(was ?? bounds.min)));
        expect(value).toBeLessThanOrEqual(Math.max(bounds.max, Number(was ?? bounds.max)));
        if (LIMIT_UNITS[each] !== 'cores' && value !== was) expect(Number.isInteger(value)).toBe(true);
      }
    },
  );

  always(
    'there is an answer for everything, and it names its base and its steps',
    fc.tuple(base, switches(changes(LIMIT_FIELDS)), fc.option(capacity, { nil: undefined })),
    ([of, some, has]) => {
      const result = all(of, some, has);
      const told = LIMIT_FIELDS.map((each) => {
        const { base: was, source, steps } = result[each];
        return [each, was, source, steps.map((step) => step.switch).sort()];
      });
      const expected = LIMIT_FIELDS.map((each) => {
        const saying = some.filter((one) => one.changes[each] !== undefined).map(({ id }) => id);
        return [each, of[each].value, of[each].source, saying.sort()];
      });
      expect(told).toEqual(expected);
      const odd = LIMIT_FIELDS.filter((each) => {
        const { value, steps, capped } = result[each];
        return Number.isNaN(value) || (!capped && steps.length > 0 && value !== steps.at(-1)?.value);
      });
      expect(odd).toEqual([]);
    },
  );
});

describe('the part of the containers that a switch chooses', () => {
  const subject = fc
    .record({
      containerId: fc.stringMatching(/^[a-f0-9]{12}$/),
      instance: fc.option(fc.stringMatching(/^[a-z]{3,8}-[0-9]{1,3}$/)),
      node: fc.constantFrom('a', 'b'),
    })
    .map((some) =>
      Subject.parse({ ...{ zone: null, tenant: 'shop', app: 'cart', ifName: 'eth0', labels: {} }, ...some }),
    );
  const percents = fc.tuple(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 100 }));

  always(
    'only grows with its per cent',
    fc.tuple(switchWith(changes()), subject, percents),
    ([one, who, [p, q]]) => {
      const less = chooses({ ...one, percent: Math.min(p, q) }, who);
      const more = chooses({ ...one, percent: Math.max(p, q) }, who);
      if (less) expect(more).toBe(true);
      expect(chooses({ ...one, percent: 100 }, who)).toBe(true);
    },
  );
});

describe('the windows of a switch', () => {
  const MINUTE = 60_000;
  const DAY = 1_440 * MINUTE;
  const cron = fc.constantFrom('0 23 * * *', '*/7 * * * *', '30 2 * * *', '0 9-17 * * mon-fri', '0 0 1 * *');
  const zone = fc.constantFrom('UTC', 'Europe/Paris', 'America/New_York', 'Asia/Kolkata');
  const timed = fc
    .record({
      from: fc.integer({ min: 1_770_000_000, max: 1_780_000_000 }).map((s) => s * 1_000),
      days: fc.integer({ min: 1, max: 60 }),
      repeat: fc.option(
        fc.record({ cron, zone, forMs: fc.integer({ min: 1, max: 3_000 }).map((m) => m * MINUTE) }),
      ),
    })
    .map(({ from, days, repeat }) => ({
      from,
      until: from + days * DAY,
      repeat,
      closed: null,
      approval: null,
    }));

  always(
    'lie within its time, hold until they say, and change then',
    fc.tuple(timed, fc.double({ min: -0.1, max: 1.1, noNaN: true })),
    ([one, where]) => {
      const now = Math.floor(one.from + (one.until - one.from) * where);
      const window = windowAt(one, now);
      if (window.state === 'over') {
        expect(windowAt(one, now + DAY).state).toBe('over');
        return;
      }
      expect(window.from).toBeGreaterThanOrEqual(one.from);
      expect(window.until).toBeLessThanOrEqual(one.until);
      expect(window.from).toBeLessThan(window.until);
      expect(window.state === 'open').toBe(window.from <= now && now < window.until);
      expect(window.nextChange).toBeGreaterThan(now);
      expect(windowAt(one, window.nextChange - 1)).toEqual(window);
      expect(windowAt(one, window.nextChange)).not.toEqual(window);
    },
  );
});

describe('quantities', () => {
  always(
    'are read back as they were printed',
    field.chain((of) => fc.tuple(fc.constant(of), wantedOf(of))),
    ([of, value]) => {
      expect(parseLimit(of, printLimit(of, value))).toBe(value);
    },
  );

  always('are read back from words, field by field', limits, (some) => {
    const words = fieldsOf(some).map(([of, value]) => [of, printLimit(of, value)] as const);
    expect(LimitsWords.parse(Object.fromEntries(words))).toEqual(some);
    expect(FlatLimits.parse(some)).toEqual(some);
  });
});
