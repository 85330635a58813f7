/**
 * Lowering a memory limit below what is in use: step by step, each step reclaimed before the next, so that nobody is
 * killed and no thread waits long. What cannot be reclaimed stays, with a little room above it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { hasFile, processesIn, textOf, WriteError, writeTextSlowly } from '../../linux/cgroup-files.ts';
import { killLargest } from '../../linux/oom.ts';
import type { Obstacle } from './journal.ts';
import type { Turns } from './turns.ts';

export interface Reclaim {
  /** After so long the rest is left for the next time. */
  readonly limitMs: number;
  /** One thread waits for the kernel as long as one group is lowered, and netd has few. */
  readonly turns: Turns;
}

export interface Lowering {
  readonly directory: string;
  readonly mayKill: boolean;
  readonly reclaim: Reclaim;
  /**
   * Writes the limit. @param how  `slow` where the kernel may have to reclaim for it
   * @throws SluiceError `kernel_refused` for anything but an obstacle
   */
  set(bytes: bigint, how: 'slow' | 'at once'): Promise<Obstacle | undefined>;
  readonly from: bigint;
  readonly to: bigint;
}

export interface Lowered {
  /** What holds now. */
  readonly limit: bigint;
  /** What kept it from going further. */
  readonly because: 'reached' | Obstacle;
  readonly usage: bigint;
}

const MIB = 1_024n ** 2n;
/** Reclaimed at a time: with a slow disk below still a matter of milliseconds. */
const STEP = 16n * MIB;
/** Left above what cannot be reclaimed, so that the next page does not kill: a sixteenth, at least this. */
const LEAST_ROOM = 4n * MIB;
const PAGE = 4_096n;
/** Between looks at whether a killed process has given its memory back. */
const POLL_MS = 10;

const inOrder = (a: bigint, b: bigint): number => Number(a > b) - Number(a < b);
const least = (a: bigint, b: bigint): bigint => (inOrder(a, b) < 0 ? a : b);
const most = (a: bigint, b: bigint): bigint => (inOrder(a, b) > 0 ? a : b);

export function usageIn(directory: string, file: string): bigint {
  return BigInt(textOf(directory, file)?.trim() ?? 0);
}

/** Where the limit stays when it cannot go where it should. */
function settled({ from }: Lowering, usage: bigint): bigint {
  const room = most(usage / 16n, LEAST_ROOM);
  return least(from, ((usage + room) / PAGE) * PAGE);
}

/**
 * cgroup v1 takes no limit below what is in use: it reclaims, and when that does not help says EBUSY. Each step is a
 * limit of its own, so what was won cannot grow back.
 */
export async function lowerV1(how: Lowering): Promise<Lowered> {
  const at = await lowerAtOnce(how, 'memory.usage_in_bytes');
  return at ?? how.reclaim.turns(() => lowerInSteps(how));
}

/** Where there is room between what is in use and the limit, nothing has to be reclaimed. */
async function lowerAtOnce(how: Lowering, file: string): Promise<Lowered | undefined> {
  const usage = usageIn(how.directory, file);
  if (!isRoomy(usage, how.to) || (await how.set(how.to, 'at once')) !== undefined) return undefined;
  return { limit: how.to, because: 'reached', usage };
}

export function isRoomy(usage: bigint, limit: bigint): boolean {
  return usage + STEP <= limit;
}

async function lowerInSteps(how: Lowering): Promise<Lowered> {
  const usage = (): bigint => usageIn(how.directory, 'memory.usage_in_bytes');
  const deadline = performance.now() + how.reclaim.limitMs;
  for (;;) {
    const now = usage();
    const next = most(how.to, ((now - STEP) / PAGE) * PAGE);
    const obstacle = await how.set(next, 'slow');
    if (obstacle === undefined && next <= how.to) return { limit: how.to, because: 'reached', usage: now };
    if (obstacle === 'in use' && how.mayKill && (await killOne(how, usage, deadline))) continue;
    // Also after a step that was taken the limit must not stand right at what is in use.
    if (obstacle !== undefined) return settle(how, usage(), obstacle);
    if (performance.now() > deadline) return settle(how, usage(), 'slow');
  }
}

async function settle(how: Lowering, usage: bigint, because: Obstacle): Promise<Lowered> {
  const limit = most(how.to, settled(how, usage));
  const obstacle = await how.set(limit, 'slow');
  return { limit: obstacle === undefined ? limit : how.from, because, usage };
}

/** @returns whether it is worth another try */
async function killOne({ directory }: Lowering, usage: () => bigint, deadline: number): Promise<boolean> {
  const before = usage();
  if (!killLargest(processesIn(directory))) return false;
  while (performance.now() < deadline && usage() >= before) await sleep(POLL_MS);
  return performance.now() < deadline;
}

/**
 * cgroup v2 takes any limit, and kills until it holds. So it is asked to reclaim first, by memory.reclaim (Linux 5.19)
 * or a lower memory.high, and hears of the limit only when what is in use fits below it.
 */
export async function lowerV2(how: Lowering): Promise<Lowered> {
  const at = await lowerAtOnce(how, 'memory.current');
  return at ?? how.reclaim.turns(() => lowerWhenItFits(how));
}

async function lowerWhenItFits(how: Lowering): Promise<Lowered> {
  const usage = (): bigint => usageIn(how.directory, 'memory.current');
  const deadline = performance.now() + how.reclaim.limitMs;
  const helped = hasFile(how.directory, 'memory.reclaim') ? askToReclaim : squeezeByHigh;
  let because: Lowered['because'] = 'reached';
  while (usage() > how.to && because === 'reached') {
    const excess = least(usage() - how.to, STEP);
    if (!(await helped(how.directory, excess))) because = 'in use';
    else if (performance.now() > deadline) because = 'slow';
  }
  const now = usage();
  if (now > how.to && !how.mayKill) return settle(how, now, because === 'reached' ? 'in use' : because);
  const obstacle = await how.set(how.to, 'slow');
  return { limit: obstacle === undefined ? how.to : how.from, because: obstacle ?? 'reached', usage: now };
}

/** @returns whether anything could be reclaimed */
async function askToReclaim(directory: string, bytes: bigint): Promise<boolean> {
  const before = usageIn(directory, 'memory.current');
  try {
    await writeTextSlowly(directory, 'memory.reclaim', String(bytes));
    return true;
  } catch (error) {
    // EAGAIN: less than asked for.
    if (!(error instanceof WriteError)) throw error;
    return usageIn(directory, 'memory.current') < before;
  }
}

/** A lower memory.high is reclaimed down to while it is written, and kills nobody. It is put back at once. */
async function squeezeByHigh(directory: string, bytes: bigint): Promise<boolean> {
  const usage = usageIn(directory, 'memory.current');
  const high = textOf(directory, 'memory.high')?.trim() ?? 'max';
  try {
    await writeTextSlowly(directory, 'memory.high', String(usage - bytes));
  } finally {
    await writeTextSlowly(directory, 'memory.high', high);
  }
  return usageIn(directory, 'memory.current') < usage;
}

export function whyNot({ because, usage }: Lowered): string {
  const used = `${(Number(usage) / 2 ** 20).toFixed(1)} MiB`;
  return because === 'slow'
    ? `${used} are in use, and are still being reclaimed`
    : `${used} are in use and cannot be reclaimed; going on would kill`;
}
