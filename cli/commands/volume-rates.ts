/** From counters to rates: what the mounts of a volume did between two reports of their nodes. Pure. */
import type { Limits } from '../../model/limits.ts';
import type { FlowCounters, MountReport, MountStatistics } from '../../model/volume-report.ts';

/** What a node has said of one of its mounts; `at` as in the server's answer. */
export interface Sample {
  readonly node: string;
  /** Unix ms. */
  readonly at: number;
  readonly mount: MountReport;
}

export interface FlowRates {
  readonly bytesPerSecond: number;
  readonly opsPerSecond: number;
  readonly errorsPerSecond: number;
  /** Within so many microseconds half of the operations, and 99 in 100 of them, were done; null: there were none. */
  readonly p50Us: number | null;
  readonly p99Us: number | null;
  /** How long operations waited for a limit, added up, in each second. */
  readonly throttledMsPerSecond: number;
  /** Waiting now. */
  readonly queued: number;
}

export interface MountRates {
  readonly read: FlowRates;
  readonly write: FlowRates;
  readonly metadata: FlowRates;
}

/** A mount as `stats` shows it. */
export interface MountLine {
  readonly node: string;
  readonly id: string;
  readonly container: string;
  readonly directory: string | null;
  readonly state: MountReport['state'];
  readonly replaced: number;
  /** When its node said so. */
  readonly at: number;
  /** For how long nothing new has been heard of it, ms; whoever asks has measured that by a clock of its own. */
  readonly silentMs: number;
  /** What the client holds. */
  readonly limits: Limits | null;
  /** null: not known yet, or no longer. */
  readonly rates: MountRates | null;
}

interface Tracked {
  readonly before: Sample | undefined;
  readonly last: Sample;
  /** By the watcher's own clock. */
  readonly heardAt: number;
}

/** By mount. */
export type Tracks = ReadonlyMap<string, Tracked>;

/** Two reports were missed: what is shown would be old. */
export const SILENT_AFTER_MS = 3_000;

/** @param now  ms of a clock that only goes forward */
export function track(tracks: Tracks, samples: readonly Sample[], now: number): Tracks {
  return new Map(
    samples.map((sample): [string, Tracked] => {
      const known = tracks.get(sample.mount.id);
      if (known === undefined) return [sample.mount.id, { before: undefined, last: sample, heardAt: now }];
      if (known.last.at === sample.at) return [sample.mount.id, known];
      return [sample.mount.id, { before: known.last, last: sample, heardAt: now }];
    }),
  );
}

/** Whether there are rates of every mount that has statistics at all. */
export function areComplete(tracks: Tracks): boolean {
  return [...tracks.values()].every(
    ({ before, last }) => before !== undefined || last.mount.statistics === null,
  );
}

export function linesOf(tracks: Tracks, now: number): MountLine[] {
  return [...tracks.values()].map(({ before, last, heardAt }) => {
    const { id, container, directory, state, replaced, statistics } = last.mount;
    const silentMs = now - heardAt;
    const isSilent = silentMs > SILENT_AFTER_MS;
    return {
      ...{ node: last.node, id, container, directory, state, replaced, at: last.at, silentMs },
      limits: statistics?.limits ?? null,
      rates: isSilent || before === undefined ? null : ratesBetween(before, last),
    };
  });
}

/** @returns null where one of the two has no statistics, because the client was dead */
export function ratesBetween(before: Sample, after: Sample): MountRates | null {
  const [was, is] = [before.mount.statistics, after.mount.statistics];
  const seconds = (after.at - before.at) / 1_000;
  if (is === null || seconds <= 0) return null;
  // Counters begin anew with each client.
  const isNew = was === null || after.mount.replaced !== before.mount.replaced || isLess(is, was);
  const flow = (one: keyof MountRates): FlowRates => flowRates(isNew ? NOTHING : was[one], is[one], seconds);
  return { read: flow('read'), write: flow('write'), metadata: flow('metadata') };
}

const NOTHING: FlowCounters = {
  ...{ ops: 0, bytes: 0, errors: 0, throttled: 0, throttledMs: 0, queued: 0, latency: [] },
};

function isLess(is: MountStatistics, was: MountStatistics): boolean {
  return (['read', 'write', 'metadata'] as const).some(
    (flow) => is[flow].ops < was[flow].ops || is[flow].bytes < was[flow].bytes,
  );
}

function flowRates(was: FlowCounters, is: FlowCounters, seconds: number): FlowRates {
  const latency = is.latency.map((count, place) => Math.max(0, count - (was.latency[place] ?? 0)));
  return {
    bytesPerSecond: (is.bytes - was.bytes) / seconds,
    opsPerSecond: (is.ops - was.ops) / seconds,
    errorsPerSecond: Math.max(0, is.errors - was.errors) / seconds,
    p50Us: percentile(latency, 0.5),
    p99Us: percentile(latency, 0.99),
    throttledMsPerSecond: Math.max(0, is.throttledMs - was.throttledMs) / seconds,
    queued: is.queued,
  };
}

/**
 * @param latency  how many were done within 2^n microseconds but not within half of that; n is the place
 * @returns the upper end of the place in which that part of them ends, in microseconds; null: there were none
 */
export function percentile(latency: readonly number[], part: number): number | null {
  const all = latency.reduce((sum, count) => sum + count, 0);
  if (all === 0) return null;
  let below = 0;
  const place = latency.findIndex((count) => {
    below += count;
    return below >= part * all;
  });
  return 2 ** place;
}
