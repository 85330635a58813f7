/** CPU time as the kernel counts it: so many microseconds of each period. Pure. */

export interface Bandwidth {
  /** Microseconds in each period; null: unlimited. */
  readonly quota: number | null;
  /** Microseconds. */
  readonly period: number;
  /** Microseconds that may be saved up; undefined where the kernel knows none (before Linux 5.14). */
  readonly burst: number | undefined;
}

/** min_bw_quota_period_us, max_bw_quota_period_us (kernel/sched/core.c): 1 ms and 1 s, for quota and period alike. */
const LEAST = 1_000;
const LONGEST = 1_000_000;
const ORDINARY = 100_000;

/** The smallest share of a core that can be held. */
export const LEAST_CORES = LEAST / LONGEST;

/**
 * The quota and period for so many cores. A period that is there stays, so that what a runtime has set comes back as
 * it was; it gives way only where the quota would be shorter than the kernel's shortest.
 * @param cores  at least `LEAST_CORES`; null: unlimited
 */
export function bandwidthFor(cores: number | null, now: Bandwidth): { quota: number | null; period: number } {
  if (cores === null) return { quota: null, period: now.period };
  const period = [now.period, ORDINARY, LONGEST].find((one) => Math.round(cores * one) >= LEAST) ?? LONGEST;
  return { quota: Math.round(cores * period), period };
}

export function coresOf({ quota, period }: Pick<Bandwidth, 'quota' | 'period'>): number | null {
  return quota === null ? null : quota / period;
}

/**
 * Weights of cgroup v2 (1 to 10000, ordinary 100) and shares of v1 (2 to 262144, ordinary 1024). The kernel keeps one
 * number for both, and so do we: shares = weight · 1024 / 100 (sched_weight_from_cgroup, kernel/sched/core.c). A
 * runtime's shares that no whole weight gives are read as a fraction, so that they come back as they were.
 */
export function sharesOf(weight: number): number {
  return Math.round((weight * ORDINARY_SHARES) / ORDINARY_WEIGHT);
}

export function weightOf(shares: number): number {
  const exact = (shares * ORDINARY_WEIGHT) / ORDINARY_SHARES;
  const whole = Math.round(exact);
  return whole >= 1 && sharesOf(whole) === shares ? whole : exact;
}

export const ORDINARY_WEIGHT = 100;
export const ORDINARY_SHARES = 1_024;
export const SHARES = { least: 2, most: 262_144 } as const;
export const WEIGHTS = { least: 1, most: 10_000 } as const;
