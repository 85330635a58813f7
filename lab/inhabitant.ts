/** Gives a container of a lab what a runtime gives: a first process in its network, and control groups of its own. */
import { clearCgroup, makeCgroup, writeCgroup } from '../linux/cgroups.ts';
import { readTextIfThere } from '../linux/files.ts';
import { type Argv, type Daemon, startDaemon } from '../linux/process.ts';
import type { Lab, LabContainer } from './lab.ts';
import { groupOf } from './topology.ts';

export interface Inhabitant extends Pick<Daemon, 'id'> {
  /** Ends it with all that it has started. */
  stop(): Promise<void>;
  /** What a file of its groups says, such as pids.max, whichever hierarchy has it; undefined where none has. */
  kernel(file: string): string | undefined;
  /** Writes such a file past everybody. */
  change(file: string, text: string): void;
}

/** What a runtime sets on a container's groups: bytes, processes, cores. */
export interface RuntimeLimits {
  readonly memory?: number;
  readonly pids?: number;
  readonly cpu?: number;
}

export interface InhabitantOptions {
  /** What runs in the container; default: something that sleeps. */
  readonly argv?: Argv;
  /** Set before anything runs; default: none. */
  readonly limits?: RuntimeLimits;
}

/** Of quotas of CPU time. */
const PERIOD_US = 100_000;
const SLEEPING: Argv = ['sleep', 'infinity'];

/** In its groups before it is in the container's network: whoever finds it there finds it whole. */
const ENTER = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"';

/** The lab takes processes and groups away when it is closed. */
export async function inhabit(
  { prefix }: Pick<Lab, 'prefix'>,
  { id, netns }: Pick<LabContainer, 'id' | 'netns'>,
  { argv = SLEEPING, limits = {} }: InhabitantOptions = {},
): Promise<Inhabitant> {
  // Called after the container, as runtimes do.
  const name = `${groupOf(prefix)}/${id}`;
  const groups = makeCgroup(name);
  const change = (file: string, text: string): void => writeCgroup(groups, file, text);
  for (const [file, text] of filesOf(limits)) change(file, text);
  const enter = ['sh', '-c', ENTER, 'sh', ...groups, '--'] as const;
  const daemon = await startDaemon([...enter, 'nsenter', `--net=${netns}`, '--', ...argv]);
  const kernel = (file: string): string | undefined =>
    groups.map((group) => readTextIfThere(`${group}/${file}`)?.trim()).find((text) => text !== undefined);
  return { id: daemon.id, stop: () => clearCgroup(name), kernel, change };
}

/** Of both versions of control groups: those that a group does not have are passed over. */
function filesOf({ memory, pids, cpu }: RuntimeLimits): [file: string, text: string][] {
  const all: [string, string | undefined][] = [
    ['memory.max', memory?.toString()],
    ['memory.limit_in_bytes', memory?.toString()],
    ['pids.max', pids?.toString()],
    ['cpu.max', cpu === undefined ? undefined : `${cpu * PERIOD_US} ${PERIOD_US}`],
    ['cpu.cfs_quota_us', cpu === undefined ? undefined : String(cpu * PERIOD_US)],
  ];
  return all.flatMap(([file, text]) => (text === undefined ? [] : [[file, text]]));
}
