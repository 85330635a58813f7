/** A container's memory, on both versions: raised at once, lowered below what is in use only as far as reclaim goes. */
import { textOf } from '../../linux/cgroup-files.ts';
import type { LimitValue } from '../../model/limits.ts';
import type { CgroupLimits } from '../contract.ts';
import type { Carrying, Driver, Notes } from './driver.ts';
import type { Journal } from './journal.ts';
import { isRoomy, type Lowering, lowerV1, lowerV2, type Reclaim, usageIn, whyNot } from './reclaim.ts';

/**
 * From here on a limit is none. The kernel's own word for it on v1 is PAGE_COUNTER_MAX pages, 2^63 bytes less one page
 * (include/linux/page_counter.h); `withSwap` has another.
 */
const UNLIMITED = 2n ** 62n;
/** What stands for the kernel's own word; written as -1 on v1 and max on v2. */
const NONE = 2n ** 63n;
/** Between `UNLIMITED` with some swap beside it, and `NONE`. */
const NONE_BEGINS = 2n ** 62n + 2n ** 61n;
/** PAGE_SIZE is at most this on any machine; the kernel rounds limits down to pages. */
const LARGEST_PAGE = 65_536n;

export function bytesOf(text: string): bigint {
  return text.trim() === 'max' ? NONE : BigInt(text.trim());
}

const limitIn = (bytes: bigint): LimitValue => (bytes >= UNLIMITED ? null : Number(bytes));
const wantedBytes = (value: LimitValue): bigint | null =>
  value === null ? null : BigInt(Math.round(Number(value)));

/** Whether a limit is the one wanted, as far as whole pages go. */
function isHeld(held: bigint, wanted: bigint | null): boolean {
  if (wanted === null) return held >= UNLIMITED;
  return held <= wanted && held > wanted - LARGEST_PAGE;
}

const V1 = { limit: 'memory.limit_in_bytes', withSwap: 'memory.memsw.limit_in_bytes' } as const;

export function memoryDriverV1(reclaim: Reclaim): Driver {
  return {
    fields: ['memory', 'memory.high'],
    async read({ directory }): Promise<CgroupLimits> {
      const text = textOf(directory, V1.limit);
      return text === undefined ? {} : { memory: limitIn(bytesOf(text)) };
    },
    async prepare({ directory, mayKill }, wanted, notes): Promise<Carrying> {
      if (wanted['memory.high'] != null) {
        notes.add(
          'memory.high',
          wanted['memory.high'],
          'only cgroup v2 has it, and this machine has memory in v1',
        );
      }
      if (wanted.memory === undefined) return nothing;
      const text = textOf(directory, V1.limit);
      if (text === undefined) return lacking(wanted, notes);
      const swap = textOf(directory, V1.withSwap);
      const now = { limit: bytesOf(text), withSwap: swap === undefined ? undefined : bytesOf(swap) };
      const next = nextV1(now, wantedBytes(wanted.memory));
      return async (journal, late) => {
        const before = { directory, mayKill, reclaim, wanted: wanted.memory ?? null };
        if (next.limit > now.limit) await raiseV1(journal, directory, now, next);
        else await shrinkV1(journal, before, now, next, late);
      };
    },
  };
}

interface LimitsV1 {
  readonly limit: bigint;
  /** Memory and swap together; undefined where the kernel does not count swap. */
  readonly withSwap: bigint | undefined;
}

/**
 * Memory with swap is never less than memory without, so one moves the other. How much swap there may be besides stays
 * as the runtime has set it, and is not forgotten while memory is unlimited: then both stand beyond all memory, as far
 * apart as before.
 */
export function nextV1({ limit, withSwap }: LimitsV1, wanted: bigint | null): LimitsV1 {
  if (isHeld(limit, wanted)) return { limit, withSwap };
  const anySwap = withSwap === undefined || withSwap >= NONE_BEGINS;
  if (anySwap) return { limit: wanted ?? NONE, withSwap };
  const next = wanted ?? UNLIMITED;
  return { limit: next, withSwap: next + (withSwap - limit) };
}

async function raiseV1(journal: Journal, directory: string, now: LimitsV1, next: LimitsV1): Promise<void> {
  if (now.withSwap !== undefined && next.withSwap !== undefined && next.withSwap !== now.withSwap) {
    await journal.set(settingV1(directory, V1.withSwap, now.withSwap, next.withSwap));
  }
  await journal.set(settingV1(directory, V1.limit, now.limit, next.limit));
}

interface Shrinking extends Pick<Lowering, 'directory' | 'mayKill' | 'reclaim'> {
  readonly wanted: LimitValue;
}

async function shrinkV1(
  journal: Journal,
  { wanted, ...how }: Shrinking,
  now: LimitsV1,
  next: LimitsV1,
  notes: Notes,
): Promise<void> {
  if (next.limit === now.limit) return;
  const set: Lowering['set'] = (bytes, pace) =>
    journal.attempt({ ...settingV1(how.directory, V1.limit, now.limit, bytes), slow: pace === 'slow' });
  const end = await lowerV1({ ...how, set, from: now.limit, to: next.limit });
  if (end.limit > next.limit) notes.add('memory', wanted, whyNot(end), limitIn(end.limit));
  if (now.withSwap === undefined || next.withSwap === undefined || next.withSwap === now.withSwap) return;
  const withSwap = end.limit + (next.withSwap - next.limit);
  const obstacle = await journal.attempt({
    ...settingV1(how.directory, V1.withSwap, now.withSwap, withSwap),
    slow: !isRoomy(usageIn(how.directory, 'memory.memsw.usage_in_bytes'), withSwap),
  });
  if (obstacle !== undefined) notes.add('memory', wanted, `swap in use keeps ${V1.withSwap} where it is`);
}

type Setting = Parameters<Journal['set']>[0];

function settingV1(directory: string, file: string, now: bigint, next: bigint): Setting {
  const text = (bytes: bigint): string => (bytes >= NONE_BEGINS ? '-1' : String(bytes));
  return {
    ...{ directory, file, text: text(next), before: text(now) },
    holds: (read) => isHeld(bytesOf(read), next >= UNLIMITED ? null : next),
  };
}

const V2 = { limit: 'memory.max', high: 'memory.high' } as const;

export function memoryDriverV2(reclaim: Reclaim): Driver {
  return {
    fields: ['memory', 'memory.high'],
    async read({ directory }): Promise<CgroupLimits> {
      const [limit, high] = [textOf(directory, V2.limit), textOf(directory, V2.high)];
      return {
        ...(limit !== undefined && { memory: limitIn(bytesOf(limit)) }),
        ...(high !== undefined && { 'memory.high': limitIn(bytesOf(high)) }),
      };
    },
    async prepare({ directory, mayKill }, wanted, notes): Promise<Carrying> {
      const [limit, high] = [textOf(directory, V2.limit), textOf(directory, V2.high)];
      if (limit === undefined || high === undefined) return lacking(wanted, notes);
      const setHigh = planHigh(directory, bytesOf(high), wanted['memory.high']);
      const value = wanted.memory;
      if (value === undefined) return setHigh;
      const [now, next] = [bytesOf(limit), wantedBytes(value)];
      if (isHeld(now, next)) return setHigh;
      if (next === null || next > now) {
        return async (journal, late) => {
          await journal.set(settingV2(directory, V2.limit, now, next));
          await setHigh(journal, late);
        };
      }
      return async (journal, late) => {
        await setHigh(journal, late);
        const set: Lowering['set'] = (bytes, pace) =>
          journal.attempt({ ...settingV2(directory, V2.limit, now, bytes), slow: pace === 'slow' });
        const end = await lowerV2({ directory, mayKill, reclaim, set, from: now, to: next });
        if (end.limit > next) late.add('memory', value, whyNot(end), limitIn(end.limit));
      };
    },
  };
}

function planHigh(directory: string, now: bigint, wanted: LimitValue | undefined): Carrying {
  if (wanted === undefined) return nothing;
  const next = wantedBytes(wanted);
  if (isHeld(now, next)) return nothing;
  // The kernel reclaims while this is written, and kills nothing.
  return (journal) => {
    const slow = next !== null && !isRoomy(usageIn(directory, 'memory.current'), next);
    return journal.set({ ...settingV2(directory, V2.high, now, next), slow });
  };
}

function settingV2(directory: string, file: string, now: bigint, next: bigint | null): Setting {
  return {
    ...{ directory, file, text: next === null ? 'max' : String(next) },
    before: now >= UNLIMITED ? 'max' : String(now),
    holds: (read) => isHeld(bytesOf(read), next),
  };
}

const nothing: Carrying = async () => undefined;

function lacking(wanted: CgroupLimits, notes: Notes): Carrying {
  for (const field of ['memory', 'memory.high'] as const) {
    if (wanted[field] != null) notes.add(field, wanted[field], 'this kernel does not have it');
  }
  return nothing;
}
