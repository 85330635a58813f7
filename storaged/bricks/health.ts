/**
 * Whether the disks of bricks still work: each is written to and read every few seconds, in a way that takes no room. A
 * disk that says it does not, or says nothing, ends its brick's file system, so that everybody who waits for it is told,
 * and goes on with the other copies.
 */
import { checkXfs, killByPidFiles, shutXfs } from '../../linux/xfs.ts';
import { asSluiceError } from '../../model/errors.ts';
import type { Place } from './observe.ts';

export interface DiskToCheck {
  /** Of the brick. */
  readonly name: string;
  readonly point: string;
  readonly device: string;
}

export interface DiskHealth {
  /** Begins a check where one is due, and waits for none. */
  look(disks: readonly DiskToCheck[]): void;
  /** What is wrong with a brick's disk; undefined: nothing that is known. */
  brokenBy(name: string): string | undefined;
}

export interface HealthTimes {
  /** Between two checks of a disk. With many bricks it is longer: they are checked one after the other. */
  readonly everyMs: number;
  /** A disk that is busy may take long; one that takes longer is taken for broken. */
  readonly patienceMs: number;
}

const TIMES: HealthTimes = { everyMs: 5_000, patienceMs: 20_000 };

export function watchDisks({ daemon }: Pick<Place, 'daemon'>, times: Partial<HealthTimes> = {}): DiskHealth {
  const { everyMs, patienceMs } = { ...TIMES, ...times };
  const { inside } = daemon;
  const broken = new Map<string, string>();
  const checkedAt = new Map<string, number>();
  /** A check of a disk that hangs may never end. */
  const underWay = new Set<string>();

  async function check(disk: DiskToCheck): Promise<void> {
    const why = await patiently(
      checkXfs(inside, disk).finally(() => underWay.delete(disk.name)),
      patienceMs,
    );
    if (why === undefined) broken.delete(disk.name);
    else await giveUp(disk, why);
  }

  async function giveUp(disk: DiskToCheck, why: string): Promise<void> {
    broken.set(disk.name, why);
    // Whoever waits in the kernel for a disk that hangs waits on: its clients must see the connection end.
    if (underWay.has(disk.name)) await killByPidFiles(inside, `*-${disk.name}-brick.pid`);
    await shutXfs(inside, disk.point);
  }

  return {
    look(disks): void {
      const now = performance.now();
      const known = new Set(disks.map(({ name }) => name));
      for (const name of [...broken.keys()]) if (!known.has(name)) broken.delete(name);
      const due = disks.find(
        ({ name }) =>
          !underWay.has(name) &&
          !broken.has(name) &&
          now - (checkedAt.get(name) ?? Number.NEGATIVE_INFINITY) >= everyMs,
      );
      if (due === undefined) return;
      underWay.add(due.name);
      checkedAt.set(due.name, now);
      void check(due).catch(() => undefined);
    },
    brokenBy: (name) => broken.get(name),
  };
}

/** @returns what is wrong */
async function patiently(
  asked: Promise<string | undefined>,
  patienceMs: number,
): Promise<string | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(() => resolve(`it has not answered for ${patienceMs / 1_000} s`), patienceMs);
  timer.unref();
  // What is wrong with asking is not wrong with the disk.
  const answer = asked.catch((error: unknown) => void asSluiceError(error));
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
