import { readFileSync } from 'node:fs';
import { baseOf, effective, switchesOf, valuesOf } from './effective-limits.ts';
import type { BaseLayers, Capacity, LimitField, Limits } from './limits.ts';
import { type Change, type Changes, Switch } from './switch.ts';

const layers = (some: Partial<BaseLayers>): BaseLayers => ({
  app: {},
  runtime: {},
  plan: {},
  cluster: {},
  ...some,
});

let made = 0;
const switchOf = (changes: Changes, more: Partial<Switch> = {}): Switch => {
  made += 1;
  return Switch.parse({
    ...{ id: `sw-${String(made).padStart(8, '0')}`, name: 'peak', select: {}, changes, percent: 100 },
    ...{ priority: 0, from: 0, until: 10, repeat: null, reason: 'a test', openedBy: 'op', openedAt: made },
    ...more,
  });
};

const CAPACITY: Capacity = { cpu: 2, memory: 2 ** 30, uplink: null };
const ofField = (field: LimitField, plan: Limits, switches: readonly Switch[], capacity?: Capacity) =>
  effective({ base: baseOf(layers({ plan })), switches, fields: [field], capacity })[field];

describe('the base', () => {
  it('is per field what the strongest source says, unlimited included', () => {
    const base = baseOf({
      app: { cpu: null },
      runtime: { cpu: 1, memory: 5_000_000 },
      plan: { memory: 6_000_000, pids: 10 },
      cluster: { pids: 5, 'block.read': 1_000 },
    });
    expect(base.cpu).toEqual({ value: null, source: 'app' });
    expect(base.memory).toEqual({ value: 5_000_000, source: 'runtime' });
    expect(base.pids).toEqual({ value: 10, source: 'plan' });
    expect(base['block.read']).toEqual({ value: 1_000, source: 'cluster' });
    expect(base['block.write']).toEqual({ value: null, source: 'none' });
  });
});

describe('an effective limit', () => {
  it('is the base where no switch is open, however odd it is', () => {
    const odd = ofField('cpu', { cpu: 0.333_333_333 }, []);
    expect(odd).toEqual({
      value: 0.333_333_333,
      base: 0.333_333_333,
      source: 'plan',
      steps: [],
      capped: false,
    });
    expect(ofField('memory', { memory: 2 ** 40 }, [], CAPACITY).value).toBe(2 ** 40);
  });

  it.each<[string, Limits, Switch[], unknown]>([
    ['set: the value', { cpu: 1 }, [switchOf({ cpu: { do: 'set', value: 4 } })], 4],
    ['scale: the product', { cpu: 1 }, [switchOf({ cpu: { do: 'scale', factor: 1.5 } })], 1.5],
    ['scale of unlimited: unlimited', {}, [switchOf({ cpu: { do: 'scale', factor: 0.5 } })], null],
    ['lift: unlimited', { cpu: 1 }, [switchOf({ cpu: { do: 'lift' } })], null],
    [
      'lift beats set of the same priority, even an older one a newer',
      { cpu: 1 },
      [switchOf({ cpu: { do: 'lift' } }), switchOf({ cpu: { do: 'set', value: 4 } })],
      null,
    ],
    [
      'set of a higher priority beats lift',
      { cpu: 1 },
      [switchOf({ cpu: { do: 'set', value: 4 } }, { priority: 1 }), switchOf({ cpu: { do: 'lift' } })],
      4,
    ],
    [
      'the newer set of the same priority beats the older',
      { cpu: 1 },
      [switchOf({ cpu: { do: 'set', value: 4 } }), switchOf({ cpu: { do: 'set', value: 2 } })],
      2,
    ],
    [
      'the newer is the one that was opened later, whatever their ids',
      { cpu: 1 },
      [
        switchOf({ cpu: { do: 'set', value: 4 } }, { openedAt: 1_000_001 }),
        switchOf({ cpu: { do: 'set', value: 2 } }, { openedAt: 1_000_000 }),
      ],
      4,
    ],
    [
      'scale is of what holds before it: an older set',
      { cpu: 1 },
      [switchOf({ cpu: { do: 'set', value: 4 } }), switchOf({ cpu: { do: 'scale', factor: 2 } })],
      8,
    ],
    [
      'a newer set forgets an older scale',
      { cpu: 1 },
      [switchOf({ cpu: { do: 'scale', factor: 2 } }), switchOf({ cpu: { do: 'set', value: 4 } })],
      4,
    ],
    [
      'set back to a number after a lift below it',
      { cpu: 1 },
      [switchOf({ cpu: { do: 'lift' } }), switchOf({ cpu: { do: 'set', value: 4 } }, { priority: 1 })],
      4,
    ],
  ])('%s', (_, plan, switches, value) => {
    expect(ofField('cpu', plan, switches).value).toBe(value);
    expect(ofField('cpu', plan, switches.toReversed()).value).toBe(value);
  });

  it('lists who had a say, in order, with what held after each', () => {
    const scale = switchOf({ cpu: { do: 'scale', factor: 2 } }, { priority: 5 });
    const set = switchOf({ cpu: { do: 'set', value: 3 }, pids: { do: 'lift' } });
    const all = effective({
      base: baseOf(layers({})),
      switches: [scale, set],
      fields: ['cpu', 'pids', 'memory'],
    });
    expect(all.cpu.steps).toEqual([
      { switch: set.id, change: { do: 'set', value: 3 }, value: 3 },
      { switch: scale.id, change: { do: 'scale', factor: 2 }, value: 6 },
    ]);
    expect(valuesOf(all)).toEqual({ cpu: 6, pids: null, memory: null });
    expect(switchesOf(all)).toEqual([scale.id, set.id].sort());
  });

  it('is rounded to what its unit can say, and never scaled to nonsense', () => {
    const scaled = (field: LimitField, plan: Limits, factor: number) =>
      ofField(field, plan, [switchOf({ [field]: { do: 'scale', factor } })]).value;
    expect(scaled('pids', { pids: 3 }, 0.5)).toBe(2);
    expect(scaled('pids', { pids: 1 }, 0.01)).toBe(1);
    expect(scaled('cpu', { cpu: 0.333_33 }, 0.1)).toBe(0.033_33);
    expect(scaled('cpu', { cpu: 0.02 }, 0.01)).toBe(0.01);
    expect(scaled('memory', { memory: 2 ** 27 }, 0.001)).toBe(4 * 2 ** 20);
    expect(scaled('net.external.out', { 'net.external.out': 1e9 }, 1_000)).toBe(1e12);
    // Less than makes sense, but so it was: a smaller share of it is not more of it.
    expect(scaled('memory', { memory: 1_000_000 }, 0.5)).toBe(1_000_000);
  });

  it('of memory, where switches have a say, is no more than the node has', () => {
    const lifted = ofField('memory', { memory: 2 ** 27 }, [switchOf({ memory: { do: 'lift' } })], CAPACITY);
    expect(lifted).toMatchObject({ value: 2 ** 30, capped: true });
    const doubled = [switchOf({ memory: { do: 'scale', factor: 2 } })];
    expect(ofField('memory', { memory: 2 ** 27 }, doubled, CAPACITY)).toMatchObject({
      value: 2 ** 28,
      capped: false,
    });
    expect(ofField('cpu', { cpu: 1 }, [switchOf({ cpu: { do: 'set', value: 64 } })], CAPACITY).value).toBe(
      64,
    );
  });
});

describe("the documentation's table of two switches", () => {
  const text = readFileSync(new URL('../docs/limits.md', import.meta.url), 'utf8');
  const say = '(set \\d+|scale \\d+|lift)';
  const cell = '(\\d+|unlimited)';
  const rows = [
    ...text.matchAll(new RegExp(`^\\| ${say} \\| ${say} \\| ${cell} \\| ${cell} \\| ${cell} \\|$`, 'gm')),
  ];

  const changeOf = (words: string): Change => {
    const [what, number] = words.split(' ');
    if (what === 'lift') return { do: 'lift' };
    return what === 'set' ? { do: 'set', value: Number(number) } : { do: 'scale', factor: Number(number) };
  };

  it('has every pair of the three', () => {
    const pairs = rows.map(([, a = '', b = '']) => `${a.split(' ')[0]} ${b.split(' ')[0]}`);
    expect(new Set(pairs).size).toBe(9);
  });

  it.each(rows.map((row) => row.slice(1)))('says of %s and %s: %s, %s, %s', (a = '', b = '', ...values) => {
    const results = [-1, 0, 1].map((priority) => {
      const older = switchOf({ cpu: changeOf(a) }, { priority });
      const newer = switchOf({ cpu: changeOf(b) });
      return String(ofField('cpu', { cpu: 1 }, [newer, older]).value ?? 'unlimited');
    });
    expect(results).toEqual(values);
  });
});

describe('the changes of a switch', () => {
  it.each([
    [{ 'cpu.set': { do: 'scale', factor: 2 } }, /cannot be scaled/],
    [{ cpu: { do: 'set', value: 0 } }, /less than makes sense/],
    [{ memory: { do: 'set', value: '128MiB' } }, /no number/],
    [{ cpu: { do: 'scale', factor: 0 } }, />0/],
    [{ cpu: { do: 'scale', factor: -1 } }, />0/],
    [{ cpus: { do: 'lift' } }, /key|option/i],
    [{}, /must change something/],
  ])('%j are refused: %s', (changes, why) => {
    expect(() => switchOf(changes as Changes)).toThrow(why);
  });
});
