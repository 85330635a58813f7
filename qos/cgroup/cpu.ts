/** CPU quota, burst and weight: what is written in which order. The files are those of v1 or v2. */
import { childrenOf } from '../../linux/cgroup-files.ts';
import type { LimitValue } from '../../model/limits.ts';
import type { CgroupLimits } from '../contract.ts';
import { type Bandwidth, bandwidthFor, coresOf, LEAST_CORES, ORDINARY_WEIGHT } from './bandwidth.ts';
import type { Carrying, Driver, Notes } from './driver.ts';
import type { Journal } from './journal.ts';

export interface CpuFiles {
  /** @returns undefined where the group has none */
  bandwidth(directory: string): Bandwidth | undefined;
  setQuota(journal: Journal, directory: string, now: Bandwidth, next: QuotaAndPeriod): Promise<void>;
  setBurst(journal: Journal, directory: string, now: number, next: number): Promise<void>;
  /** @returns undefined where the group has none */
  weight(directory: string): number | undefined;
  /** The nearest that can be held. */
  nearestWeight(weight: number): number;
  setWeight(journal: Journal, directory: string, now: number, next: number): Promise<void>;
  /** A quota must fit between that of the group around it and those of the groups in it (v1 only). */
  readonly nested: boolean;
}

export interface QuotaAndPeriod {
  readonly quota: number | null;
  readonly period: number;
}

const US_PER_MS = 1_000;

export function cpuDriver(files: CpuFiles): Driver {
  return {
    fields: ['cpu', 'cpu.burst', 'cpu.weight'],
    async read({ directory }): Promise<CgroupLimits> {
      const bandwidth = files.bandwidth(directory);
      const weight = files.weight(directory);
      return {
        ...(bandwidth && { cpu: coresOf(bandwidth) }),
        ...(bandwidth?.burst !== undefined && { 'cpu.burst': burstValue(bandwidth.burst) }),
        ...(weight !== undefined && { 'cpu.weight': weight === ORDINARY_WEIGHT ? null : weight }),
      };
    },
    async prepare({ directory }, wanted, notes): Promise<Carrying> {
      const bandwidth = planBandwidth(files, directory, wanted, notes);
      const weight = planWeight(files, directory, wanted, notes);
      return async (journal) => {
        await bandwidth(journal);
        await weight(journal);
      };
    },
  };
}

type Doing = (journal: Journal) => Promise<void>;
const NOTHING: Doing = async () => undefined;
const OLD_KERNEL = 'this kernel does not have it';

/** No burst is the kernel's own, and what nobody has named. */
function burstValue(us: number): LimitValue {
  return us === 0 ? null : us / US_PER_MS;
}

function planBandwidth(files: CpuFiles, directory: string, wanted: CgroupLimits, notes: Notes): Doing {
  if (wanted.cpu === undefined && wanted['cpu.burst'] === undefined) return NOTHING;
  const now = files.bandwidth(directory);
  if (now === undefined) {
    for (const field of ['cpu', 'cpu.burst'] as const) missing(field, wanted, OLD_KERNEL, notes);
    return NOTHING;
  }
  const next = planQuota(files, directory, wanted.cpu, now, notes);
  const burst = planBurst(wanted, now, next, notes);
  return async (journal) => {
    // The kernel holds no quota that is shorter than the burst, so a shorter burst goes first and a longer one last.
    const first = burst !== undefined && now.burst !== undefined && burst < now.burst;
    if (first) await files.setBurst(journal, directory, now.burst, burst);
    await files.setQuota(journal, directory, now, next);
    if (!first && burst !== undefined && now.burst !== undefined && burst !== now.burst) {
      await files.setBurst(journal, directory, now.burst, burst);
    }
  };
}

function planQuota(
  files: CpuFiles,
  directory: string,
  wanted: LimitValue | undefined,
  now: Bandwidth,
  notes: Notes,
): QuotaAndPeriod {
  if (wanted === undefined) return now;
  if (wanted === null) return bandwidthFor(null, now);
  const cores = Math.max(Number(wanted), LEAST_CORES);
  if (cores !== wanted) notes.add('cpu', wanted, `the kernel holds no less than ${LEAST_CORES} cores`, cores);
  if (!files.nested) return bandwidthFor(cores, now);
  const room = roomFor(files, directory);
  if (cores > room.most) {
    notes.add('cpu', wanted, 'the group around it has no more, and cgroup v1 lets none have more', room.most);
    return bandwidthFor(room.most, now);
  }
  if (cores < room.least) {
    notes.add(
      'cpu',
      wanted,
      `${room.of} has a limit of its own, and cgroup v1 lets none have less`,
      room.least,
    );
    return bandwidthFor(room.least, now);
  }
  return bandwidthFor(cores, now);
}

/** Between which limits the kernel takes a quota on v1 (tg_cfs_schedulable_down, kernel/sched/core.c). */
function roomFor(files: CpuFiles, directory: string): { most: number; least: number; of: string } {
  const limitOf = (group: string): number | null => {
    const bandwidth = files.bandwidth(group);
    return bandwidth === undefined ? null : coresOf(bandwidth);
  };
  let most = Number.POSITIVE_INFINITY;
  for (let group = parentOf(directory); files.bandwidth(group) !== undefined; group = parentOf(group)) {
    most = Math.min(most, limitOf(group) ?? most);
  }
  let least = 0;
  let of = '';
  // One without a limit takes that of the group around it, so one further in may still have its own.
  const look = (group: string): void => {
    for (const child of childrenOf(group)) {
      const limit = limitOf(child);
      if (limit === null) look(child);
      else if (limit > least) [least, of] = [limit, child];
    }
  };
  look(directory);
  return { most, least, of };
}

function parentOf(directory: string): string {
  return directory.slice(0, directory.lastIndexOf('/'));
}

/** @returns undefined where there is nothing to set */
function planBurst(
  wanted: CgroupLimits,
  now: Bandwidth,
  { quota }: QuotaAndPeriod,
  notes: Notes,
): number | undefined {
  const named = wanted['cpu.burst'];
  if (now.burst === undefined) {
    missing('cpu.burst', wanted, `${OLD_KERNEL} (it takes Linux 5.14)`, notes);
    return undefined;
  }
  const burst = named === undefined ? now.burst : Math.round(Number(named ?? 0) * US_PER_MS);
  if (quota === null || burst <= quota) return burst;
  const why = 'no longer than the quota, which is all that the kernel saves up';
  notes.add('cpu.burst', named ?? now.burst / US_PER_MS, why, quota / US_PER_MS);
  return quota;
}

function planWeight(files: CpuFiles, directory: string, wanted: CgroupLimits, notes: Notes): Doing {
  const named = wanted['cpu.weight'];
  if (named === undefined) return NOTHING;
  const now = files.weight(directory);
  if (now === undefined) {
    missing('cpu.weight', wanted, OLD_KERNEL, notes);
    return NOTHING;
  }
  const weight = Number(named ?? ORDINARY_WEIGHT);
  const next = files.nearestWeight(weight);
  if (Math.abs(next - weight) > weight / 100) {
    notes.add('cpu.weight', named, 'the nearest that the kernel holds', next);
  }
  return (journal) => files.setWeight(journal, directory, now, next);
}

/** Without a limit there is nothing that a kernel could lack. */
export function missing(
  field: 'cpu' | 'cpu.burst' | 'cpu.weight',
  wanted: CgroupLimits,
  why: string,
  notes: Notes,
): void {
  const value = wanted[field];
  if (value !== undefined && value !== null) notes.add(field, value, why);
}
