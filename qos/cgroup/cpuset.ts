/** The CPUs a container may run on. A set lies within that of the group around it, on v1 also around those in it. */
import { childrenOf, textOf } from '../../linux/cgroup-files.ts';
import { SluiceError } from '../../model/errors.ts';
import type { LimitValue } from '../../model/limits.ts';
import type { CgroupLimits } from '../contract.ts';
import { cpusIn, formatCpuList, parseCpuList, sameCpus } from './cpu-list.ts';
import type { Carrying, Driver, Notes } from './driver.ts';
import type { Journal } from './journal.ts';

const FILE = 'cpuset.cpus';
const FIELD = 'cpu.set';

/**
 * v1 wants every group to name its CPUs. v2 takes those of the group around it for an empty list, which is how a group
 * begins; but it takes no empty list back while there are processes (validate_change, kernel/cgroup/cpuset.c). So all
 * CPUs are named then. Should the group around it get more, it reads as a limit and is set again.
 */
export function cpusetDriver(version: 1 | 2): Driver {
  return {
    fields: [FIELD],
    async read({ directory }): Promise<CgroupLimits> {
      const text = textOf(directory, FILE);
      if (text === undefined) return {};
      const own = cpusIn(text);
      const all = own.length === 0 || sameCpus(own, around(version, directory));
      return { [FIELD]: all ? null : formatCpuList(own) };
    },
    async prepare({ directory }, wanted, notes): Promise<Carrying> {
      const named = wanted[FIELD];
      if (named === undefined) return nothing;
      const text = textOf(directory, FILE);
      if (text === undefined) {
        if (named !== null) notes.add(FIELD, named, 'this kernel does not have it');
        return nothing;
      }
      const next = nextCpus(version, directory, named, notes);
      const own = cpusIn(text);
      const now = version === 2 && own.length === 0 ? around(version, directory) : own;
      return (journal) => change(journal, { version, directory, now, next });
    },
  };
}

const nothing: Carrying = async () => undefined;

/** The CPUs that the group around this one really has. */
function around(version: 1 | 2, directory: string): number[] {
  const parent = directory.slice(0, directory.lastIndexOf('/'));
  const names = version === 1 ? ['cpuset.effective_cpus', FILE] : ['cpuset.cpus.effective', FILE];
  for (const name of names) {
    const cpus = cpusIn(textOf(parent, name) ?? '');
    if (cpus.length > 0) return cpus;
  }
  return [];
}

function nextCpus(version: 1 | 2, directory: string, named: LimitValue, notes: Notes): number[] {
  const possible = around(version, directory);
  if (named === null) return possible;
  const asked = parseCpuList(String(named));
  const next = asked.filter((cpu) => possible.includes(cpu));
  if (next.length === 0) {
    throw new SluiceError(
      'kernel_refused',
      `${directory}/${FILE}: none of CPUs ${named} is there; the group around it has ${formatCpuList(possible)}`,
      'name CPUs that this node has',
    );
  }
  if (next.length < asked.length) {
    notes.add(FIELD, named, `the group around it has ${formatCpuList(possible)} only`, formatCpuList(next));
  }
  return next;
}

interface Wish {
  readonly version: 1 | 2;
  readonly directory: string;
  readonly now: readonly number[];
  readonly next: readonly number[];
}

async function change(journal: Journal, { version, directory, now, next }: Wish): Promise<void> {
  if (sameCpus(now, next)) return;
  if (version === 2) return setCpus(journal, directory, now, next);
  // Wider first, so that there is always room for those within; then narrower.
  const both = [...new Set([...now, ...next])].sort((a, b) => a - b);
  if (!sameCpus(both, now)) await setCpus(journal, directory, now, both);
  for (const child of childrenOf(directory)) await followV1(journal, child, { now, next });
  if (!sameCpus(both, next)) await setCpus(journal, directory, both, next);
}

/** A group within that had all CPUs of this one goes along; one with a set of its own keeps it, or stands in the way. */
async function followV1(
  journal: Journal,
  child: string,
  { now, next }: Omit<Wish, 'version' | 'directory'>,
): Promise<void> {
  const own = cpusIn(textOf(child, FILE) ?? '');
  if (own.length === 0) return;
  if (sameCpus(own, now)) return change(journal, { version: 1, directory: child, now, next });
  if (own.every((cpu) => next.includes(cpu))) return;
  throw new SluiceError(
    'kernel_refused',
    `${child}/${FILE}: has CPUs ${formatCpuList(own)} of its own, which are not all among ${formatCpuList(next)}`,
    'name CPUs that include those of each container in the pod',
  );
}

function setCpus(
  journal: Journal,
  directory: string,
  now: readonly number[],
  next: readonly number[],
): Promise<void> {
  // A line of its own: an empty write is none.
  const text = (cpus: readonly number[]): string => `${formatCpuList(cpus)}\n`;
  return journal.set({
    ...{ directory, file: FILE, text: text(next), before: text(now) },
    holds: (read) => sameCpus(cpusIn(read), next),
  });
}
