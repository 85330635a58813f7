/** What is mounted in the mount namespace of a process, and which namespaces there are. */
import { readFileSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { identify } from './process.ts';

/** One line of proc_pid_mountinfo(5). */
export interface Mount {
  /** No two mounts of the machine have the same; it is given again when the mount is gone. */
  readonly id: number;
  /** Such as 0:40; no two file systems that are mounted have the same. */
  readonly device: string;
  /** Which directory of the file system it shows. */
  readonly root: string;
  readonly point: string;
  readonly readOnly: boolean;
  /** Whether what is mounted below it appears in other namespaces, too. */
  readonly shared: boolean;
  readonly type: string;
  readonly source: string;
}

/** In the order in which they were mounted: of two at one point the later one is seen. Pure. */
export function parseMounts(mountinfo: string): Mount[] {
  return mountinfo
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ');
      const [id, , device = '', root = '', point = '', options = '', ...optional] = before.split(' ');
      const [type = '', source = ''] = after.split(' ');
      const shared = optional.some((field) => field.startsWith('shared:'));
      const places = { root: unescapeOctal(root), point: unescapeOctal(point) };
      const readOnly = options.split(',').includes('ro');
      return { id: Number(id), device, ...places, readOnly, shared, type, source: unescapeOctal(source) };
    });
}

/** The kernel writes blanks and backslashes as \ooo. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** @returns none when the process is gone */
export function mountsOf(pid: number | 'self'): Mount[] {
  try {
    return parseMounts(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'));
  } catch {
    return [];
  }
}

/** A mount namespace with somebody in it. */
export interface MountNamespace {
  readonly inode: number;
  /**
   * The oldest of its processes: it is likely to be there a moment later. A container may start programs that end at
   * once, and numbers are given again, so the lowest one tells nothing.
   */
  readonly pid: number;
  /** Inodes of the network namespaces its processes are in. */
  readonly netns: ReadonlySet<number>;
}

/** So many processes are looked at before others get a turn; one takes about 5 µs. */
const AT_ONCE = 256;

/** All of the machine but our own and that of process 1. */
export async function mountNamespaces(): Promise<MountNamespace[]> {
  const homes = [inodeOf('self', 'mnt'), inodeOf(1, 'mnt')];
  const found = new Map<number, { pids: number[]; netns: Set<number> }>();
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0);
  for (const [index, pid] of pids.sort((a, b) => a - b).entries()) {
    if (index % AT_ONCE === AT_ONCE - 1) await nextTurn();
    const inode = inodeOf(pid, 'mnt');
    const netns = inodeOf(pid, 'net');
    if (inode === undefined || netns === undefined || homes.includes(inode)) continue;
    const one = found.get(inode) ?? { pids: [], netns: new Set<number>() };
    one.pids.push(pid);
    one.netns.add(netns);
    found.set(inode, one);
  }
  return [...found].map(([inode, { pids, netns }]) => ({ inode, pid: oldestOf(pids), netns }));
}

/** @param pids  at least one */
function oldestOf(pids: readonly number[]): number {
  const [first = 0] = pids;
  if (pids.length < 2) return first;
  const alive = pids.flatMap((pid) => identify(pid) ?? []);
  return alive.sort((a, b) => a.startedAt - b.startedAt || a.pid - b.pid)[0]?.pid ?? first;
}

/** @returns undefined when the process is gone */
function inodeOf(pid: number | 'self', kind: 'mnt' | 'net'): number | undefined {
  try {
    return statSync(`/proc/${pid}/ns/${kind}`).ino;
  } catch {
    return undefined;
  }
}
