/**
 * Namespaces that outlive whoever made them: a process that only sleeps lives in them, and one of their mounts bears
 * their name. That mount is how they are found again; nothing needs to be remembered.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { SluiceError } from '../model/errors.ts';
import { readTextIfThere, removeIfThere, writeAtomically } from './files.ts';
import { mountNamespaces, mountsOf } from './mount-table.ts';
import { type Argv, identify, isAlive, type ProcessId, run, startDaemon, stopProcess } from './process.ts';

export interface LastingPlan {
  /** What the kernel's list of mounts calls the mount that tells these namespaces from all others. */
  readonly marker: string;
  /** Two makers exclude each other by it; who lives in the namespaces is written beside it. */
  readonly lockFile: string;
  /** Run by `sh -eu` inside, with the arguments. It mounts; what it mounts is seen nowhere else. */
  readonly script: string;
  readonly args: readonly string[];
  /** `own`: with nothing but a loopback interface that is down; a path: that one; null: the caller's. */
  readonly network: 'own' | { readonly path: string } | null;
  /** Where its output goes: why it failed. */
  readonly logFile: string;
}

export interface LastingNamespaces {
  /** Lives in them, and does nothing else. */
  readonly holder: ProcessId;
  /** Of the mount namespace. */
  readonly inode: number;
}

/** Where the marker is mounted: last of all, so that whoever sees it sees everything. */
export const MARKER_POINT = '/run/sluice-namespaces';
const MARK = `mkdir -p ${MARKER_POINT}
mount -t tmpfs -o size=4k,mode=700 "$MARKER" ${MARKER_POINT}
exec sleep infinity`;
const SLEEPER: readonly string[] = ['sleep', 'infinity'];

const READY_MS = 10_000;
const POLL_MS = 5;
const LET_GO_MS = 3_000;
const RETRY_MS = 50;
/** flock(1), when somebody else holds the lock. */
const LOCKED = 75;
/** Characters of a script's last words. */
const LAST_WORDS = 500;

const Recorded = z.object({ pid: z.int(), startedAt: z.int() });
const recordOf = ({ lockFile }: Pick<LastingPlan, 'lockFile'>): string => `${lockFile}.json`;

/**
 * Finds them, whoever made them; somebody lives in them then, if need be a new sleeper.
 * @returns undefined when there are none
 */
export async function findLasting(
  plan: Pick<LastingPlan, 'marker' | 'lockFile'>,
): Promise<LastingNamespaces | undefined> {
  const recorded = lookAt(recordedProcess(plan), plan.marker);
  if (recorded !== undefined) return recorded;
  for (const { pid, inode } of await mountNamespaces()) {
    if (!hasMarker(pid, plan.marker)) continue;
    const holder = processesInMounts(inode).find(isSleeper) ?? (await enterSleeper(plan, pid));
    return written(plan, { holder, inode });
  }
  return undefined;
}

/** @throws SluiceError `program_failed` with what the script said, `try_again` while another process makes them */
export async function ensureLasting(plan: LastingPlan): Promise<LastingNamespaces> {
  return (await findLasting(plan)) ?? makeLasting(plan);
}

async function makeLasting(plan: LastingPlan): Promise<LastingNamespaces> {
  const { marker, script, args, network, logFile } = plan;
  removeIfThere(logFile);
  const elsewhere = network !== null && network !== 'own' ? ['nsenter', `--net=${network.path}`, '--'] : [];
  const own = network === 'own' ? ['--net'] : [];
  const apart = [...elsewhere, 'unshare', '--mount', '--propagation', 'slave', ...own, '--'];
  const sh = ['sh', '-euc', `${script}\n${MARK}`, 'sh', ...args];
  const argv = [...apart, ...locking(plan), ...sh] as const;
  const daemon = await startDaemon(argv as unknown as Argv, {
    logFile,
    env: { ...process.env, MARKER: marker },
  });
  let code: number | undefined;
  void daemon.exited.then((ended) => {
    code = ended;
  });
  for (const deadline = performance.now() + READY_MS; performance.now() < deadline; await sleep(POLL_MS)) {
    const made = lookAt(daemon.id, marker);
    if (made !== undefined) return written(plan, made);
    if (code !== undefined) throw notMade(plan, code);
  }
  await daemon.stop();
  throw notMade(plan, undefined);
}

function locking({ lockFile }: Pick<LastingPlan, 'lockFile'>): string[] {
  return ['flock', '--no-fork', '--nonblock', '--conflict-exit-code', String(LOCKED), lockFile];
}

function notMade({ marker, logFile }: LastingPlan, code: number | undefined): SluiceError {
  if (code === LOCKED)
    return new SluiceError('try_again', `${marker} is being made by another process`, 'try again');
  const said = (readTextIfThere(logFile) ?? '').trim().slice(-LAST_WORDS);
  return new SluiceError(
    'program_failed',
    `the namespaces ${marker} could not be made: ${said || 'it took too long'}`,
    'sluice needs root with CAP_SYS_ADMIN',
  );
}

/** In namespaces that lost theirs. */
async function enterSleeper(plan: Pick<LastingPlan, 'marker' | 'lockFile'>, pid: number): Promise<ProcessId> {
  const { id } = await startDaemon([...enter(pid), 'sleep', 'infinity'] as unknown as Argv);
  for (const deadline = performance.now() + READY_MS; performance.now() < deadline; await sleep(POLL_MS))
    if (hasMarker(id.pid, plan.marker) && isSleeper(id)) return id;
  throw new SluiceError('program_failed', `the namespaces ${plan.marker} cannot be entered`, 'try again');
}

function enter(pid: number): string[] {
  return ['nsenter', `--mount=/proc/${pid}/ns/mnt`, `--net=/proc/${pid}/ns/net`, '--'];
}

/** A program, as it is run inside. */
export function insideLasting({ holder }: LastingNamespaces, argv: Argv): Argv {
  return [...enter(holder.pid), ...argv] as unknown as Argv;
}

/** A file of theirs, as it is called outside; while the holder lives. */
export function pathInside({ holder }: LastingNamespaces, path: string): string {
  return `/proc/${holder.pid}/root${path}`;
}

/**
 * Ends every process in them, the sleeper last, and takes off what is mounted below a directory, so that no device is
 * in use when this returns. What has ended already is no error.
 */
export async function endLasting(
  plan: Pick<LastingPlan, 'lockFile'>,
  { holder, inode }: LastingNamespaces,
  below: string,
  graceMs?: number,
): Promise<void> {
  const others = processesInMounts(inode).filter(({ pid }) => pid !== holder.pid);
  await Promise.all(others.map((id) => stopProcess(id, graceMs)));
  await unmountInside(holder, below);
  await stopProcess(holder);
  removeIfThere(recordOf(plan));
}

/** Ends all whose marker ends with a path below a directory: of labs, whoever made them. */
export async function endLastingBelow(directory: string): Promise<void> {
  for (const { pid, inode } of await mountNamespaces()) {
    const marker = mountsOf(pid).find(({ point }) => point === MARKER_POINT)?.source;
    if (marker?.includes(`:${directory}/`) !== true) continue;
    const [holder] = processesInMounts(inode).filter(isSleeper);
    await endLasting(
      { lockFile: `${directory}/namespaces` },
      { holder: holder ?? { pid, startedAt: 0 }, inode },
      directory,
    );
  }
}

/** What has just ended may still be letting go of its files, thread by thread. */
async function unmountInside(holder: ProcessId, below: string): Promise<void> {
  const deadline = performance.now() + LET_GO_MS;
  for (;;) {
    const points = mountsOf(holder.pid)
      .map(({ point }) => point)
      .filter((point) => point.startsWith(`${below}/`))
      .reverse();
    if (points.length === 0 || !isAlive(holder)) return;
    const late = performance.now() > deadline;
    const umount = ['umount', ...(late ? ['--lazy'] : []), '--', ...points];
    const { code } = await run([...enter(holder.pid), ...umount] as unknown as Argv);
    if (code === 0 || late) return;
    await sleep(RETRY_MS);
  }
}

/** All processes whose mount namespace this is, but ourselves. */
export function processesInMounts(inode: number): ProcessId[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && mountInode(pid) === inode)
    .flatMap((pid) => identify(pid) ?? []);
}

/** @returns undefined when the process is gone, or nobody may look at it: process 1 of a container */
function mountInode(pid: number): number | undefined {
  try {
    return statSync(`/proc/${pid}/ns/mnt`).ino;
  } catch {
    return undefined;
  }
}

/** @returns its program and arguments; none when it is gone */
export function commandOf({ pid }: ProcessId): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}

function isSleeper(id: ProcessId): boolean {
  return commandOf(id).join(' ') === SLEEPER.join(' ');
}

function hasMarker(pid: number, marker: string): boolean {
  return mountsOf(pid).some(({ point, source }) => point === MARKER_POINT && source === marker);
}

function lookAt(holder: ProcessId | undefined, marker: string): LastingNamespaces | undefined {
  if (holder === undefined || !isAlive(holder) || !hasMarker(holder.pid, marker)) return undefined;
  const inode = mountInode(holder.pid);
  return inode === undefined ? undefined : { holder, inode };
}

function recordedProcess(plan: Pick<LastingPlan, 'lockFile'>): ProcessId | undefined {
  const text = readTextIfThere(recordOf(plan));
  return text === undefined ? undefined : Recorded.safeParse(JSON.parse(text)).data;
}

function written(plan: Pick<LastingPlan, 'lockFile'>, found: LastingNamespaces): LastingNamespaces {
  writeAtomically(recordOf(plan), JSON.stringify(found.holder));
  return found;
}
