import fc from 'fast-check';
import type { CgroupField, LimitValue } from '../../model/limits.ts';
import { type Bandwidth, bandwidthFor, coresOf, SHARES, sharesOf, weightOf } from './bandwidth.ts';
import { cpusIn, formatCpuList, parseCpuList } from './cpu-list.ts';
import { nextV1 } from './memory.ts';
import { checkWanted, isSameLimit } from './values.ts';

const MIB = 2 ** 20;
const PERIODS = fc.constantFrom(5_000, 10_000, 50_000, 100_000, 250_000, 1_000_000);

describe('a quota', () => {
  it('is within the kernel’s bounds and within half a percent of what is asked for', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.001, max: 512, noNaN: true }), PERIODS, (cores, period) => {
        const next = bandwidthFor(cores, { quota: null, period, burst: 0 });
        expect(next.quota).toBeGreaterThanOrEqual(1_000);
        expect(next.period).toBeLessThanOrEqual(1_000_000);
        expect(Math.abs((coresOf(next) ?? 0) / cores - 1)).toBeLessThanOrEqual(0.0005);
      }),
      { numRuns: 2_000 },
    );
  });

  it('that was there comes back as it was, after any other that its period can hold', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1_000, max: 2_000_000 }),
        PERIODS,
        fc.double({ min: 0.2, max: 64, noNaN: true }),
        (quota, period, other) => {
          const before: Bandwidth = { quota, period, burst: 0 };
          const between = bandwidthFor(other, before);
          expect(bandwidthFor(coresOf(before), { ...between, burst: 0 })).toEqual({ quota, period });
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it.each([
    [0.5, 100_000, { quota: 50_000, period: 100_000 }],
    [0.5, 50_000, { quota: 25_000, period: 50_000 }],
    [0.01, 100_000, { quota: 1_000, period: 100_000 }],
    [0.01, 50_000, { quota: 1_000, period: 100_000 }],
    [0.002, 100_000, { quota: 2_000, period: 1_000_000 }],
    [null, 50_000, { quota: null, period: 50_000 }],
  ])('for %s cores in a period of %d µs', (cores, period, expected) => {
    expect(bandwidthFor(cores, { quota: 7_000, period, burst: 0 })).toEqual(expected);
  });
});

describe('shares and weights', () => {
  it.each([
    [100, 1_024],
    [1, 10],
    [50, 512],
    [10_000, 102_400],
  ])('weight %d is %d shares', (weight, shares) => {
    expect(sharesOf(weight)).toBe(shares);
    expect(weightOf(shares)).toBe(weight);
  });

  it('come back as they were: whole weights, and all shares that the kernel takes', () => {
    for (let weight = 1; weight <= 10_000; weight += 1) expect(weightOf(sharesOf(weight))).toBe(weight);
    for (let shares = SHARES.least; shares <= SHARES.most; shares += 1) {
      if (sharesOf(weightOf(shares)) !== shares) throw new Error(`${shares} shares`);
    }
  });
});

describe('a list of CPUs', () => {
  it.each([
    ['0', [0]],
    ['0-3,7', [0, 1, 2, 3, 7]],
    ['7,0-1,1', [0, 1, 7]],
    [' 2 , 4-5\n', [2, 4, 5]],
  ])('%j', (text, cpus) => {
    expect(parseCpuList(text)).toEqual(cpus);
    expect(parseCpuList(formatCpuList(cpus))).toEqual(cpus);
  });

  it.each(['', '3-1', '-1', 'a', '1,,2', '0-99999', '8192', '1;2', '0x1'])('is not %j', (text) => {
    expect(() => parseCpuList(text)).toThrow(expect.objectContaining({ code: 'invalid_request' }));
  });

  it('may be empty in a file', () => {
    expect(cpusIn('\n')).toEqual([]);
  });
});

describe('memory and swap of v1', () => {
  const MAX = 2n ** 63n - 4_096n;
  const limits = (limit: bigint, withSwap: bigint | undefined) => ({ limit, withSwap });
  const mib = (count: number): bigint => BigInt(count * MIB);

  it.each([
    ['raised, with as much swap as before', limits(mib(64), mib(96)), mib(128), limits(mib(128), mib(160))],
    ['lowered, with as much swap as before', limits(mib(64), mib(96)), mib(32), limits(mib(32), mib(64))],
    ['without any swap', limits(mib(64), mib(64)), mib(32), limits(mib(32), mib(32))],
    ['with all swap', limits(mib(64), MAX), mib(128), limits(mib(128), MAX)],
    ['where swap is not counted', limits(mib(64), undefined), mib(32), limits(mib(32), undefined)],
    ['held already', limits(mib(64), mib(96)), mib(64), limits(mib(64), mib(96))],
    ['unlimited already', limits(MAX, MAX), null, limits(MAX, MAX)],
  ])('are %s', (_, now, wanted, next) => {
    expect(nextV1(now, wanted)).toEqual(next);
  });

  it('come back as they were after memory was unlimited', () => {
    for (const withSwap of [mib(64), mib(96), MAX, undefined]) {
      const before = limits(mib(64), withSwap);
      const lifted = nextV1(before, null);
      expect(lifted.limit).toBeGreaterThanOrEqual(2n ** 62n);
      expect(lifted.withSwap ?? MAX).toBeGreaterThanOrEqual(lifted.limit > MAX ? MAX : lifted.limit);
      expect(nextV1(lifted, mib(64))).toEqual(before);
    }
  });
});

describe('two values', () => {
  it.each<[CgroupField, LimitValue, LimitValue | undefined, boolean]>([
    ['cpu', 0.5, 0.5, true],
    ['cpu', 1 / 3, 0.33333, true],
    ['cpu', 0.5, 0.51, false],
    ['cpu', null, 0.5, false],
    ['cpu', null, null, true],
    ['cpu.weight', 100, null, true],
    ['cpu.weight', null, 100, true],
    ['cpu.weight', 100, 101, false],
    ['cpu.burst', 0, null, true],
    ['cpu.burst', 20, null, false],
    ['cpu.set', '0-1', '0,1', true],
    ['cpu.set', '0-1', '0', false],
    ['cpu.set', null, '0', false],
    ['memory', 10_000_000, 9_998_336, true],
    ['memory', 10_000_000, 10_002_432, false],
    ['memory', 10_000_000, undefined, false],
    ['pids', 5, 5, true],
    ['pids', 5, 6, false],
    ['block.read', 1_000_000, 1_000_000, true],
    ['block.read', null, 1_000_000, false],
  ])('of %s, %s and %s, are the same: %s', (field, wanted, held, same) => {
    expect(isSameLimit(field, wanted, held)).toBe(same);
  });
});

it.each<[Record<string, unknown>, string]>([
  [{ cpu: -1 }, 'cpu'],
  [{ cpu: 0 }, 'cpu'],
  [{ cpu: Number.POSITIVE_INFINITY }, 'cpu'],
  [{ memory: '64M' }, 'memory'],
  [{ 'cpu.set': 3 }, 'cpu.set'],
  [{ 'cpu.set': 'all' }, 'all'],
  [{ 'block.read': 0 }, 'block.read'],
  [{ 'net.external.in': 5 }, 'net.external.in'],
])('%j cannot be asked for', (wanted, named) => {
  expect(() => checkWanted(wanted)).toThrow(
    expect.objectContaining({ code: 'invalid_request', message: expect.stringContaining(named) }),
  );
});
