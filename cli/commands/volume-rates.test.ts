import type { FlowCounters } from '../../model/volume-report.ts';
import { AT, NO_FLOW, sampleMount } from '../../test/support/sample-volume.ts';
import {
  areComplete,
  linesOf,
  percentile,
  ratesBetween,
  type Sample,
  SILENT_AFTER_MS,
  track,
} from './volume-rates.ts';

const sample = (at: number, read: Partial<FlowCounters>, more: object = {}): Sample => ({
  ...{ node: 'a', at: AT + at },
  mount: sampleMount({
    statistics: { limits: {}, read: { ...NO_FLOW, ...read }, write: NO_FLOW, metadata: NO_FLOW },
    ...more,
  }),
});
const dead = (at: number): Sample => sample(at, {}, { statistics: null, state: 'broken' });

describe('the rates of a mount', () => {
  it('are what its counters grew by between two reports, by the time between these', () => {
    const before = sample(0, { ops: 100, bytes: 1e6, throttledMs: 50, latency: [0, 0, 90, 10] });
    const after = sample(2_000, {
      ...{ ops: 300, bytes: 41e6, errors: 4, throttledMs: 450, queued: 3, latency: [0, 0, 90, 110, 98, 2] },
    });
    expect(ratesBetween(before, after)?.read).toEqual({
      ...{
        bytesPerSecond: 20e6,
        opsPerSecond: 100,
        errorsPerSecond: 2,
        throttledMsPerSecond: 200,
        queued: 3,
      },
      ...{ p50Us: 8, p99Us: 16 },
    });
  });

  it('begin anew with a new client, whose counters do', () => {
    const before = sample(0, { ops: 100, bytes: 1e6 });
    expect(ratesBetween(before, sample(1_000, { ops: 5, bytes: 5_000 }))?.read).toMatchObject({
      ...{ opsPerSecond: 5, bytesPerSecond: 5_000 },
    });
    const replaced = sample(1_000, { ops: 150, bytes: 2e6 }, { replaced: 1 });
    expect(ratesBetween(before, replaced)?.read.opsPerSecond).toBe(150);
    expect(ratesBetween(dead(0), sample(1_000, { ops: 7 }))?.read.opsPerSecond).toBe(7);
  });

  it('are not known while its client is dead, and within one report', () => {
    expect(ratesBetween(sample(0, {}), dead(1_000))).toBeNull();
    expect(ratesBetween(sample(0, {}), sample(0, {}))).toBeNull();
  });
});

describe('a percentile', () => {
  it('is the upper end of the place where that part of the operations ends', () => {
    expect(percentile([1], 0.5)).toBe(1);
    expect(percentile([0, 0, 50, 49, 0, 0, 0, 0, 0, 0, 1], 0.5)).toBe(4);
    expect(percentile([0, 0, 50, 49, 0, 0, 0, 0, 0, 0, 1], 0.99)).toBe(8);
    expect(percentile([0, 0, 50, 48, 0, 0, 0, 0, 0, 0, 2], 0.99)).toBe(1_024);
  });

  it('of nothing is not known', () => {
    expect(percentile([], 0.5)).toBeNull();
    expect(percentile([0, 0], 0.99)).toBeNull();
  });
});

describe('watching mounts', () => {
  it('takes two different reports for rates, however often it looks', () => {
    const first = track(new Map(), [sample(0, { ops: 1 })], 10_000);
    expect(areComplete(first)).toBe(false);
    const same = track(first, [sample(0, { ops: 1 })], 10_200);
    expect(linesOf(same, 10_200)).toMatchObject([{ rates: null, silentMs: 200 }]);
    const second = track(same, [sample(1_000, { ops: 11 })], 11_100);
    expect(areComplete(second)).toBe(true);
    const again = track(second, [sample(1_000, { ops: 11 })], 11_300);
    expect(linesOf(again, 11_300)).toMatchObject([{ silentMs: 200, rates: { read: { opsPerSecond: 10 } } }]);
  });

  it('has no rates of a node that is silent', () => {
    const first = track(new Map(), [sample(0, {})], 0);
    const second = track(first, [sample(1_000, { ops: 11 })], 1_000);
    expect(linesOf(second, 1_000 + SILENT_AFTER_MS)[0]?.rates).not.toBeNull();
    expect(linesOf(second, 1_001 + SILENT_AFTER_MS)[0]?.rates).toBeNull();
  });

  it('waits for no mount whose client is dead, and forgets what is unmounted', () => {
    const tracks = track(new Map(), [dead(0)], 0);
    expect(areComplete(tracks)).toBe(true);
    expect(track(tracks, [], 100).size).toBe(0);
  });
});
