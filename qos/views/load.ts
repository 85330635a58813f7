/**
 * A container's load as the kernel has the machine's: how many of its tasks run, want to run or wait for a disk, averaged
 * exponentially over 1, 5 and 15 minutes (kernel/sched/loadavg.c). Pure.
 */

export interface Load {
  readonly one: number;
  readonly five: number;
  readonly fifteen: number;
}

export const NO_LOAD: Load = { one: 0, five: 0, fifteen: 0 };

const WINDOWS = { one: 60, five: 300, fifteen: 900 } as const;

/**
 * @param active   tasks of the container that run or wait uninterruptibly, now
 * @param seconds  since the last look; the kernel looks every five, any time is right
 */
export function nextLoad(last: Load, active: number, seconds: number): Load {
  return {
    one: average(last.one, active, seconds, WINDOWS.one),
    five: average(last.five, active, seconds, WINDOWS.five),
    fifteen: average(last.fifteen, active, seconds, WINDOWS.fifteen),
  };
}

/** @param windowSeconds  after which what was counts for 1/e */
export function average(last: number, active: number, seconds: number, windowSeconds: number): number {
  const kept = Math.exp(-seconds / windowSeconds);
  return last * kept + active * (1 - kept);
}
