import { goalText, isMet, ROWS, type RowId } from '../../bench/catalogue.ts';
import { carriedOf } from '../../bench/rates/carried.ts';
import { type Protocol, planCells } from '../../bench/rates/cells.ts';
import {
  goodput,
  holdsAfter,
  longestStall,
  type Sample,
  sharesOf,
  type Trace,
  wireRate,
} from '../../bench/rates/figures.ts';

const MSS = 1448;
const SEGMENT = MSS + 66;

/** A trace of 5 ms steps; `segmentsOf` says how many full segments come in each, as one packet of the interface. */
function traceOf(protocol: Protocol, steps: number, segmentsOf: (step: number) => number): Trace {
  const samples: Sample[] = [{ atMs: 0, bytes: 0, packets: 0, payloadBytes: 0 }];
  for (let step = 0; step < steps; step += 1) {
    const last = samples[step]!;
    const segments = segmentsOf(step);
    samples.push({
      atMs: (step + 1) * 5,
      bytes: last.bytes + (protocol === 'tcp' ? segments * MSS + 66 : segments * SEGMENT),
      packets: last.packets + (protocol === 'tcp' ? 1 : segments),
      payloadBytes: last.payloadBytes + segments * MSS,
    });
  }
  return { protocol, startedMs: 0, mss: MSS, retransmitted: 0, reset: false, samples, silences: [] };
}

const WIRE = (10 * SEGMENT * 8 * 1000) / 5;

describe('a rate on the wire', () => {
  it.each(['tcp', 'udp'] as const)('of %s has the header of every frame, however they came', (protocol) => {
    expect(
      wireRate(
        traceOf(protocol, 400, () => 10),
        500,
        1_500,
      ),
    ).toBeCloseTo(WIRE, 0);
  });

  it('lies between two samples', () => {
    expect(
      wireRate(
        traceOf('udp', 400, () => 10),
        501,
        1_003,
      ),
    ).toBeCloseTo(WIRE, 0);
  });

  it('is not invented beyond the end', () => {
    expect(() =>
      wireRate(
        traceOf('udp', 10, () => 10),
        0,
        51,
      ),
    ).toThrow(RangeError);
  });

  it('is more than the payload', () => {
    expect(
      goodput(
        traceOf('tcp', 400, () => 10),
        0,
        1_000,
      ),
    ).toBeCloseTo((WIRE * MSS) / SEGMENT, 0);
  });

  it('tells the first second from those behind it', () => {
    const { first, steady } = sharesOf(
      traceOf('udp', 600, (step) => (step < 200 ? 15 : 10)),
      WIRE,
    );
    expect(first).toBeCloseTo(1.5, 6);
    expect(steady).toBeCloseTo(1, 6);
  });
});

describe('a change', () => {
  const changed = (quiet: number) =>
    traceOf('udp', 600, (step) => {
      if (step < 200) return 100;
      return step < 200 + quiet ? 0 : 10;
    });

  it.each([
    [0, 0],
    [2, 5],
    [10, 45],
  ])('after which nothing comes for %d steps of 5 ms holds then, or a step before', (quiet, ms) => {
    expect(holdsAfter(changed(quiet), 1_000, WIRE)).toBe(ms);
  });

  it('that comes to another rate does not hold', () => {
    expect(holdsAfter(changed(0), 1_000, WIRE * 1.2)).toBeUndefined();
  });

  it('with empty bins does not hold, though the mean is right', () => {
    const bursts = traceOf('udp', 600, (step) => (step % 10 === 0 ? 100 : 0));
    expect(holdsAfter(bursts, 1_000, WIRE)).toBeUndefined();
  });

  it('has the longest silence behind it', () => {
    const silences = [
      { fromMs: 100, lengthMs: 500 },
      { fromMs: 990, lengthMs: 30 },
      { fromMs: 1_500, lengthMs: 12 },
    ];
    const trace = { ...changed(0), silences };
    expect(longestStall(trace, 1_000, 2_000)).toBe(20);
    expect(longestStall(trace, 1_100, 1_400)).toBe(0);
  });
});

describe('the cells', () => {
  it('of a direction and a rate are TCP and UDP, on one host and two', () => {
    const cells = planCells(new Set<RowId>(['P7.in.1Gbit']));
    expect(cells.map(({ protocol, distance }) => `${protocol} ${distance}`)).toEqual([
      ...['tcp samehost', 'tcp twohosts', 'udp samehost', 'udp twohosts'],
    ]);
    expect(cells.every(({ rate, direction }) => rate === '1Gbit' && direction === 'in')).toBe(true);
  });

  it('of a first second are those of both directions, and are not measured twice', () => {
    const first: RowId[] = ['P7.first.10Mbit'];
    expect(planCells(new Set(first))).toHaveLength(8);
    expect(planCells(new Set<RowId>([...first, 'P7.in.10Mbit', 'P7.out.10Mbit']))).toHaveLength(8);
    expect(planCells(new Set<RowId>(['P7.change', 'P7.ping', 'P1.nic']))).toEqual([]);
  });

  it('that the machine cannot carry are left out, and it is said why', () => {
    const carried = { tcp: { samehost: 2e10, twohosts: 5.7e9 }, udp: { samehost: 6.5e9, twohosts: 2e9 } };
    const told: string[] = [];
    const left = carriedOf(planCells(new Set<RowId>(['P7.out.5Gbit'])), carried, (line) => told.push(line));
    expect(left.map(({ protocol, distance }) => `${protocol} ${distance}`)).toEqual([
      ...['tcp samehost', 'udp samehost'],
    ]);
    expect(told).toEqual([
      '5Gbit out tcp twohosts is left out: without a limit, 5.70 Gbit/s is all there is',
      '5Gbit out udp twohosts is left out: without a limit, 2.00 Gbit/s is all there is',
    ]);
  });
});

it('is missed by too much as well as by too little', () => {
  const { goal } = ROWS['P7.in.1Gbit'];
  expect(goalText(goal)).toBe('1±0.02');
  const met = [0.979, 0.981, 1, 1.019, 1.021].map((value) => isMet(goal, value, undefined));
  expect(met).toEqual([false, true, true, true, false]);
});
