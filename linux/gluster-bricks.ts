/** Gluster's bricks as processes: whether one serves a directory, and whether its index says that copies lack something. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { opendir } from 'node:fs/promises';
import type { HealIndex } from '../model/volume-report.ts';
import { processesInMounts } from './lasting-namespaces.ts';
import { isAlive, type ProcessId } from './process.ts';

export interface BrickProcesses {
  /** Of these directories, as they are called inside, those that a process serves. */
  serving(directories: readonly string[]): ReadonlySet<string>;
}

/** A brick holds its directory open from when it serves it until it ends (xlators/storage/posix, mount_lock). */
interface Held {
  readonly process: ProcessId;
  readonly descriptor: string;
}

const PROGRAM = 'glusterfsd';

/** @param inode  of the mount namespace in which they live; undefined while there is none */
export function watchBrickProcesses(inode: () => number | undefined): BrickProcesses {
  let held = new Map<string, Held>();

  const isHeld = (directory: string): boolean => {
    const one = held.get(directory);
    return one !== undefined && isAlive(one.process) && targetOf(one) === directory;
  };

  /** Of many bricks in one process, and thousands of files that are open in it, only those are looked up that are missing. */
  function search(missing: ReadonlySet<string>, namespace: number): void {
    for (const process of processesInMounts(namespace).filter(isBrick))
      for (const descriptor of descriptorsOf(process)) {
        const one = { process, descriptor };
        const target = targetOf(one);
        if (target !== undefined && missing.has(target)) held.set(target, one);
      }
  }

  return {
    serving(directories): ReadonlySet<string> {
      held = new Map([...held].filter(([directory]) => directories.includes(directory)));
      const missing = new Set(directories.filter((one) => !isHeld(one)));
      for (const one of missing) held.delete(one);
      const namespace = inode();
      if (namespace === undefined) return new Set();
      if (missing.size > 0) search(missing, namespace);
      return new Set(held.keys());
    },
  };
}

function isBrick({ pid }: ProcessId): boolean {
  try {
    const [program = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return program.split('/').at(-1) === PROGRAM;
  } catch {
    return false; // it is gone
  }
}

function descriptorsOf({ pid }: ProcessId): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`);
  } catch {
    return [];
  }
}

function targetOf({ process: { pid }, descriptor }: Held): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/fd/${descriptor}`);
  } catch {
    return undefined;
  }
}

/**
 * Names in it are links to one file of each directory's own, which begins with the directory's name, for each file that
 * is to be looked at (xlators/features/index). On a disk that hangs it does not return.
 * @param holder  a process that lives in the mount namespace of the brick
 * @param brick  as it is called there
 */
export async function healIndexOf(holder: number, brick: string): Promise<HealIndex> {
  const indices = `/proc/${holder}/root${brick}/.glusterfs/indices`;
  if (await hasEntry(`${indices}/xattrop`, 'xattrop-')) return 'pending';
  return (await hasEntry(`${indices}/dirty`, 'dirty-')) ? 'dirty' : 'empty';
}

/** There may be a million: the first tells. */
async function hasEntry(directory: string, own: string): Promise<boolean> {
  try {
    for await (const { name } of await opendir(directory)) if (!name.startsWith(own)) return true;
    return false;
  } catch {
    return false; // a brick that was never started has none
  }
}
