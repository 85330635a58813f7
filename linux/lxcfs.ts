/**
 * One lxcfs of ours: a FUSE file system whose files show each reader the figures of the reader's own control group. We
 * mount it and hand it the open connection, so that it can live without the machine's network and mounts.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import * as z from 'zod';
import { SluiceError } from '../model/errors.ts';
import { ensureDirectory, readTextIfThere, removeIfThere, writeAtomically } from './files.ts';
import { mount } from './libc.ts';
import { mountsOf } from './mount-table.ts';
import { unmountBelow } from './mounts.ts';
import { identify, isAlive, type ProcessId, run, stopProcess } from './process.ts';

export interface LxcfsPlace {
  /** Where it is mounted. */
  readonly directory: string;
  /** What the kernel's list of mounts calls it: tells ours from others'. */
  readonly source: string;
}

export interface LiveLxcfs {
  readonly id: ProcessId;
  /** Of its mount (proc_pid_mountinfo(5)): copies elsewhere that have another belong to one that died. */
  readonly device: string;
}

/** sys/mount.h: MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC */
const FLAGS = 1 | 2 | 4 | 8;

/**
 * What is left to it: cgroups mounted in its own namespace and namespaces of containers entered (SYS_ADMIN,
 * SYS_CHROOT), other users' /proc/PID read (SYS_PTRACE, DAC_READ_SEARCH).
 */
const CAPABILITIES = '-all,+sys_admin,+sys_chroot,+sys_ptrace,+dac_read_search';
/** Its own /run, where it leaves directories behind otherwise; without a network; with as few rights as it can do with. */
const APART = ['unshare', '--net', '--mount', '--ipc', '--uts', '--'] as const;
const SCRIPT = `mount -t tmpfs -o mode=700 lxcfs /run
exec setpriv --no-new-privs --bounding-set ${CAPABILITIES} --inh-caps -all -- "$@"`;
/** -l: load averages; --enable-cfs: as many CPUs as the quota buys. */
const OPTIONS = ['--foreground', '--enable-loadavg', '--enable-cfs', '--pidfile', '/run/lxcfs.pid'] as const;

/** It has nothing to bring to an end; one that hangs is not waited for. */
const GRACE_MS = 500;

/** Characters. */
const LAST_WORDS = 300;

const Recorded = z.object({ pid: z.int(), startedAt: z.int() });

const recordOf = ({ directory }: LxcfsPlace): string => `${directory}.json`;

/** @returns the one that serves this place, whoever started it; undefined when none lives or its mount is gone */
export function findLxcfs(place: LxcfsPlace): LiveLxcfs | undefined {
  const id = recordedProcess(place);
  if (id === undefined || !isAlive(id)) return undefined;
  const own = mountsOf('self').findLast(({ point }) => point === place.directory);
  return own?.source === place.source ? { id, device: own.device } : undefined;
}

function recordedProcess(place: LxcfsPlace): ProcessId | undefined {
  const text = readTextIfThere(recordOf(place));
  return text === undefined ? undefined : Recorded.safeParse(JSON.parse(text)).data;
}

/**
 * Ends what is left of an earlier one, and starts another. It outlives us: containers read from it.
 * @throws SluiceError `kernel_refused` without FUSE, `program_failed` without lxcfs
 */
export async function startLxcfs(place: LxcfsPlace): Promise<void> {
  await stopLxcfs(place);
  ensureDirectory(place.directory);
  const connection = openFuse();
  try {
    const options = `fd=${connection},rootmode=40000,user_id=0,group_id=0,allow_other`;
    mount(place.source, place.directory, 'fuse.lxcfs', FLAGS, options);
    writeAtomically(recordOf(place), JSON.stringify(await spawned(place, connection)));
  } finally {
    // Only its own copy may stay open: when that closes, readers hear that it is dead instead of waiting.
    closeSync(connection);
  }
}

function openFuse(): number {
  try {
    return openSync('/dev/fuse', 'r+');
  } catch (cause) {
    throw new SluiceError(
      'kernel_refused',
      `/dev/fuse cannot be opened: ${String(cause)}`,
      'load the kernel module fuse, or turn views.lxcfs off',
      { cause },
    );
  }
}

/** The number of the connection in the child: libfuse takes /dev/fd/N for one that is mounted already. */
const CHILD_FD = 3;

async function spawned({ directory }: LxcfsPlace, connection: number): Promise<ProcessId> {
  const log = openSync(`${directory}.log`, 'w', 0o600);
  const [program, ...apart] = APART;
  const lxcfs = ['lxcfs', ...OPTIONS, `/dev/fd/${CHILD_FD}`];
  try {
    const child = spawn(program, [...apart, 'sh', '-euc', SCRIPT, 'sh', ...lxcfs], {
      detached: true,
      stdio: ['ignore', log, log, connection],
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) => {
        reject(
          new SluiceError('program_failed', `lxcfs cannot be started: ${cause.message}`, 'install lxcfs', {
            cause,
          }),
        );
      });
    });
    child.unref();
    return identify(child.pid ?? 0) ?? { pid: child.pid ?? 0, startedAt: 0 };
  } finally {
    closeSync(log);
  }
}

/** What it has written last, for the log of whoever finds it dead. */
export function lastWords({ directory }: LxcfsPlace): string {
  return (readTextIfThere(`${directory}.log`) ?? '').trim().slice(-LAST_WORDS);
}

/** Ends it and takes its mount off; what has copies of it elsewhere sees a dead one. One that is not there is no error. */
export async function stopLxcfs(place: LxcfsPlace): Promise<void> {
  const id = recordedProcess(place);
  if (id !== undefined) await stopProcess(id, GRACE_MS);
  unmountBelow(place.directory);
  for (const file of [recordOf(place), `${place.directory}.log`]) removeIfThere(file);
}

/** Asks it for something, in a process that may hang instead of this one. @returns whether it has answered in time */
export async function lxcfsAnswers({ directory }: LxcfsPlace, timeoutMs: number): Promise<boolean> {
  try {
    return (await run(['cat', `${directory}/proc/uptime`], { timeoutMs })).code === 0;
  } catch {
    return false;
  }
}
