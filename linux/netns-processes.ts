/** Which processes live in which network namespace, by one walk through /proc for all who ask at about the same time. */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** So many are looked at before others get a turn; one takes 3 to 15 µs, and an ADD may be waiting. */
const AT_ONCE = 32;
/** A walk serves those who ask within this time, and those whom it has nothing for within the shorter one. */
const FRESH_MS = 100;
const FRESH_FOR_NONE_MS = 10;

export interface NetnsProcesses {
  /** @param inode  of the namespace; @returns process ids, lowest first */
  in(inode: number): Promise<readonly number[]>;
}

/** @param root  of the file system in which /proc is; '' but for tests */
export function netnsProcesses(root = ''): NetnsProcesses {
  let walk: Promise<Map<number, number[]>> | undefined;
  let begun = 0;
  async function look(inode: number, freshMs: number): Promise<readonly number[]> {
    if (walk === undefined || performance.now() - begun > freshMs) {
      begun = performance.now();
      walk = walkProc(root);
    }
    return (await walk).get(inode) ?? [];
  }
  return {
    async in(inode): Promise<readonly number[]> {
      const found = await look(inode, FRESH_MS);
      return found.length > 0 ? found : look(inode, FRESH_FOR_NONE_MS);
    },
  };
}

async function walkProc(root: string): Promise<Map<number, number[]>> {
  const found = new Map<number, number[]>();
  const pids = readdirSync(`${root}/proc`)
    .map(Number)
    .filter((pid) => pid > 0);
  for (const [index, pid] of pids.sort((a, b) => a - b).entries()) {
    if (index % AT_ONCE === AT_ONCE - 1) await nextTurn();
    const inode = netnsInodeOf(pid, root);
    if (inode !== undefined) found.set(inode, [...(found.get(inode) ?? []), pid]);
  }
  return found;
}

/** @returns undefined when the process is gone, or is a kernel thread */
export function netnsInodeOf(pid: number, root = ''): number | undefined {
  try {
    return statSync(`${root}/proc/${pid}/ns/net`).ino;
  } catch {
    return undefined;
  }
}

export interface ProgramName {
  /** As the process calls itself. */
  readonly comm: string;
  /** The file it runs; empty when it is gone. */
  readonly exe: string;
}

export function programOf(pid: number, root = ''): ProgramName {
  const attempt = (read: () => string): string => {
    try {
      return read();
    } catch {
      return '';
    }
  };
  return {
    comm: attempt(() => readFileSync(`${root}/proc/${pid}/comm`, 'utf8').trimEnd()),
    exe: attempt(() => readlinkSync(`${root}/proc/${pid}/exe`)),
  };
}
