/**
 * Gluster's clients as processes: each has its file system mounted in a mount namespace of its own, which ends with it.
 * They outlive whoever started them; what the kernel lists tells which ones live.
 */
import { readdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { SluiceError } from '../model/errors.ts';
import { ensureDirectory, readTextIfThere } from './files.ts';
import { mountsOf } from './mount-table.ts';
import {
  type Argv,
  type Daemon,
  endsWithin,
  identify,
  isAlive,
  type ProcessId,
  startDaemon,
  stopProcess,
} from './process.ts';
import { removeTree } from './tree.ts';
import type { ErrandClient } from './volume-errands.ts';

/** Where a client has its files; the same directory inside and outside Gluster's namespaces. */
export interface ClientPlace {
  /** What lists of mounts call its file system; no other of the machine is called so. */
  readonly source: string;
  readonly directory: string;
}

export interface LiveClient {
  readonly id: ProcessId;
  /** Of its file system, as mounts list it. */
  readonly device: string;
  /** What errands need to know of it. */
  readonly errands: ErrandClient;
}

export const rootOf = ({ directory }: ClientPlace): string => `${directory}/root`;
const logOf = ({ directory }: ClientPlace): string => `${directory}/log`;

const TYPE = 'fuse.glusterfs';
const PROGRAM = 'glusterfs';
/** It takes 70 ms on an idle machine; without a server it gives up by itself. */
const MOUNTS_WITHIN_MS = 15_000;
const POLL_MS = 10;
/** Of its log, in characters. */
const LAST_WORDS = 600;
/** A log that has grown beyond this is emptied: 50 clients may not fill a disk. */
const LONGEST_LOG_BYTES = 4 * 2 ** 20;

/** A client's process, or what is left of one. */
export interface ClientProcess {
  readonly id: ProcessId;
  readonly source: string;
  /** Where it has, or will have, its file system mounted. */
  readonly root: string;
  /** undefined: it has nothing mounted (yet). */
  readonly live: LiveClient | undefined;
}

/**
 * Processes that serve file systems of such sources, or are about to. A tenant's process may bear any name: ours are
 * root's, and run in our own process namespace. There may be several of a source, if whoever started one was killed.
 */
export function findClients(isOurs: (source: string) => boolean): ClientProcess[] {
  const all = clientProcesses(isOurs);
  const pids = new Set(all.map(({ id }) => id.pid));
  return all.filter(({ parent }) => !pids.has(parent));
}

/**
 * With the processes that clients start to mount for them: these have the same command line and the same mounts, but
 * serve nobody.
 */
function clientProcesses(isOurs: (source: string) => boolean): (ClientProcess & { parent: number })[] {
  const home = inodeOf('self', 'pid');
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    const told = pid > 0 ? toldOf(pid) : undefined;
    if (told === undefined || !isOurs(told.source) || inodeOf(pid, 'pid') !== home) return [];
    const id = identify(pid);
    return id === undefined ? [] : [{ id, ...told, parent: parentOf(pid), live: liveClient(pid) }];
  });
}

/** proc_pid_stat(5), field 4; the second one, in brackets, may hold anything. */
function parentOf(pid: number): number {
  const stat = readTextIfThere(`/proc/${pid}/stat`) ?? '';
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}

const SOURCE = '--fs-display-name=';

/** What a process was told of its source and its root; undefined when it is no client. */
function toldOf(pid: number): { readonly source: string; readonly root: string } | undefined {
  try {
    const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
    if (program.split('/').at(-1) !== PROGRAM || statSync(`/proc/${pid}`).uid !== 0) return undefined;
    const source = args.find((arg) => arg.startsWith(SOURCE))?.slice(SOURCE.length);
    const root = args.at(-1);
    return source === undefined || root === undefined ? undefined : { source, root };
  } catch {
    return undefined; // it is gone
  }
}

/** @returns undefined for one that has nothing mounted (yet) */
function liveClient(pid: number): LiveClient | undefined {
  const told = toldOf(pid);
  const id = identify(pid);
  const inode = inodeOf(pid, 'mnt');
  if (told === undefined || id === undefined || inode === undefined) return undefined;
  const own = mountsOf(pid).findLast(({ type, point }) => type === TYPE && point === told.root);
  if (own?.source !== told.source) return undefined;
  return { id, device: own.device, errands: { pid, inode, root: told.root } };
}

/** @returns undefined when the process is gone */
function inodeOf(pid: number | 'self', kind: 'mnt' | 'pid'): number | undefined {
  try {
    return statSync(`/proc/${pid}/ns/${kind}`).ino;
  } catch {
    return undefined;
  }
}

/** What a client is told besides where it is. */
export interface ClientOptions {
  /** Addresses of glusterd, the first that answers. */
  readonly servers: readonly string[];
  /** Gluster's name of the volume. */
  readonly volume: string;
  /** `TRANSLATOR.KEY=VALUE` */
  readonly translatorOptions: readonly string[];
  /** How long the kernel believes attributes and names, in seconds. */
  readonly timeoutSeconds: number;
}

export interface StartedClient {
  readonly live: LiveClient;
  /** Fulfilled once it has ended. */
  readonly exited: Promise<unknown>;
}

/**
 * Starts a client, when all that is left of others in its place is gone, and waits until its file system is mounted in
 * its own namespace. That it also answers is to be asked: one that is refused its volume may have mounted nevertheless.
 * @param inside  leads into Gluster's namespaces
 * @throws SluiceError `storage_failed` with what it said last
 */
export async function startClient(
  place: ClientPlace,
  options: ClientOptions,
  inside: (argv: Argv) => Argv,
): Promise<StartedClient> {
  await clearPlace(place);
  ensureDirectory(rootOf(place));
  const daemon = await startDaemon(inside(clientArgv(place, options)), { logFile: logOf(place) });
  const exited = daemon.exited.catch(() => undefined);
  try {
    return { live: await mounted(place, daemon), exited };
  } catch (error) {
    killClient(daemon.id);
    throw error;
  }
}

/** Two of a source could not be told apart; and whoever has a dead one's connection open keeps it from being seen as dead. */
async function clearPlace({ source }: ClientPlace): Promise<void> {
  const left = clientProcesses((one) => one === source);
  for (const { id } of left) killClient(id);
  await Promise.all(left.map(({ id }) => endsWithin(id, DIES_WITHIN_MS)));
}

/** Pure. */
export function clientArgv(place: ClientPlace, options: ClientOptions): Argv {
  const { servers, volume, translatorOptions, timeoutSeconds } = options;
  return [
    ...(['unshare', '--mount', '--propagation', 'private', '--'] as const),
    PROGRAM,
    '--no-daemon',
    ...servers.map((server) => `--volfile-server=${server}`),
    `--volfile-id=${volume}`,
    `--process-name=${PROGRAM}`,
    `${SOURCE}${place.source}`,
    `--log-file=${logOf(place)}`,
    '--log-level=WARNING',
    `--attribute-timeout=${timeoutSeconds}`,
    `--entry-timeout=${timeoutSeconds}`,
    '--negative-timeout=0',
    '--fuse-mountopts=nosuid,nodev',
    ...translatorOptions.map((option) => `--xlator-option=${option}`),
    rootOf(place),
  ];
}

async function mounted(place: ClientPlace, daemon: Daemon): Promise<LiveClient> {
  const deadline = performance.now() + MOUNTS_WITHIN_MS;
  let ended = false;
  const end = (): void => {
    ended = true;
  };
  daemon.exited.then(end, end);
  while (performance.now() < deadline && !ended) {
    // Programs that lead into namespaces become it, one after the other; none of them stays in between.
    const live = liveClient(daemon.id.pid);
    if (live !== undefined) return live;
    await sleep(POLL_MS);
  }
  const words = lastWords(place);
  throw new SluiceError(
    'storage_failed',
    `the volume cannot be mounted: ${words === '' ? 'its client does not start' : words}`,
    'sluice volume show says how its bricks are',
  );
}

/** What it has complained of last; of one that has crashed, the signal, too. */
export function lastWords(place: ClientPlace): string {
  const isTelling = (line: string): boolean => / [EC] \[/.test(line) || line.startsWith('signal received');
  const lines = (readTextIfThere(logOf(place)) ?? '').split('\n').filter(isTelling);
  return lines.slice(-3).join('\n').slice(-LAST_WORDS);
}

/** It appends, so an emptied log goes on from its beginning. */
export function boundLog(place: ClientPlace): void {
  const { size } = statSync(logOf(place), { throwIfNoEntry: false }) ?? { size: 0 };
  if (size > LONGEST_LOG_BYTES) truncateSync(logOf(place));
}

/** What containers have closed may still be on its way to the bricks; one that hangs is not waited for. */
const GRACE_MS = 2_000;

/** A killed process on a busy machine, whose threads may still be writing. */
const DIES_WITHIN_MS = 15_000;

/** One that is gone is no error. @throws SluiceError `program_failed` when it outlives SIGKILL */
export async function endClient(id: ProcessId): Promise<void> {
  try {
    await stopProcess(id, GRACE_MS);
  } catch (error) {
    if (!(await endsWithin(id, DIES_WITHIN_MS))) throw error;
  }
}

/** One that hangs would hear nothing else. Who waits for its file system gets an error then. */
export function killClient(id: ProcessId): void {
  try {
    if (isAlive(id)) process.kill(id.pid, 'SIGKILL');
  } catch {
    // It went in between.
  }
}

export function removeClientFiles({ directory }: ClientPlace): void {
  removeTree(directory);
}
