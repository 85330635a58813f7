/** Holds what cgroups hold of a container: finds its groups, reads them, sets all that is wanted or nothing. */
import { setImmediate as othersTurn } from 'node:timers/promises';
import { processesIn, WriteError } from '../../linux/cgroup-files.ts';
import { type Controller, findHierarchies, type Hierarchy } from '../../linux/cgroup-hierarchies.ts';
import { disksOf } from '../../linux/disks.ts';
import { netnsProcesses } from '../../linux/netns-processes.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import type { CgroupField } from '../../model/limits.ts';
import type { Shortfall } from '../../model/limits-report.ts';
import type { CgroupKeeper, CgroupLimits, CgroupStatistics, ContainerCgroup } from '../contract.ts';
import { blockDriver } from './block.ts';
import { cpuDriver } from './cpu.ts';
import { cpusetDriver } from './cpuset.ts';
import { type Carrying, type Driver, type Notes, openNotes } from './driver.ts';
import { blockFilesV1, cpuFilesV1 } from './files-v1.ts';
import { blockFilesV2, cpuFilesV2 } from './files-v2.ts';
import { createFinder } from './find.ts';
import { type Journal, openJournal } from './journal.ts';
import { whyLacking } from './lacking.ts';
import { memoryDriverV1, memoryDriverV2 } from './memory.ts';
import { pidsDriver } from './pids.ts';
import { statisticsOf } from './statistics.ts';
import { createTurns } from './turns.ts';
import { checkWanted } from './values.ts';

export interface CgroupKeeperOptions {
  /** Of the file system in which /proc and /sys/fs/cgroup are looked for; '' but for tests. */
  readonly root?: string;
  /** How long memory is reclaimed before the rest is left for the next time, in ms; default 2000. */
  readonly reclaimMs?: number;
  /** How long a container that looks like its runtime is waited for, in ms; default 5000. */
  readonly runtimeMs?: number;
}

const RECLAIM_MS = 2_000;
const RUNTIME_MS = 5_000;
/** Containers seldom mount. */
const DISKS_FRESH_MS = 1_000;
/** Of libuv's four threads; the others are for files and links. */
const RECLAIMS_AT_ONCE = 2;

/** Each controller by whichever version has it on this machine. */
export function openCgroupKeeper({
  root = '',
  reclaimMs = RECLAIM_MS,
  runtimeMs = RUNTIME_MS,
}: CgroupKeeperOptions = {}): CgroupKeeper {
  const hierarchies = findHierarchies(root);
  const finder = createFinder({ root, runtimeMs, hierarchies, processes: netnsProcesses(root) });
  const drivers = driversOf(hierarchies.byController, reclaimMs);
  const version = [...hierarchies.byController.values()].some((one) => one.version === 1) ? 1 : 2;

  /** Whoever sets limits reads them afterwards, and looks at them again and again. */
  const disks = new WeakMap<ContainerCgroup, { at: number; found: Promise<readonly string[]> }>();

  function findDisks(group: ContainerCgroup, directory: string): Promise<readonly string[]> {
    const found = disksOf(processesOf(group, directory));
    disks.set(group, { at: performance.now(), found });
    return found;
  }

  function knownDisks(group: ContainerCgroup, directory: string): Promise<readonly string[]> {
    const known = disks.get(group);
    const isFresh = known !== undefined && performance.now() - known.at < DISKS_FRESH_MS;
    return isFresh ? known.found : findDisks(group, directory);
  }

  function processesOf({ pid }: ContainerCgroup, directory: string): number[] {
    const there = processesIn(directory);
    return there.length > 0 || pid === undefined ? there : [pid];
  }

  /** What is to be done to each of the group's folders; what can be seen not to work is noted, or thrown. */
  async function planFor(group: ContainerCgroup, wanted: CgroupLimits, how: How): Promise<Carrying[]> {
    const plan: Carrying[] = [];
    let there = 0;
    for (const [controller, driver] of drivers) {
      const own = pick(wanted, driver);
      const directory = finder.directoryOf(group, controller);
      if (directory !== undefined) there += 1;
      const why = whyLacking(hierarchies, { controller, directory, group });
      if (why !== undefined) noteAll(own, why, how.notes);
      else if (directory !== undefined) {
        // What it has mounted a moment ago is held, too.
        const place = { directory, mayKill: how.mayKill, disks: () => findDisks(group, directory) };
        plan.push(await driver.prepare(place, own, how.notes));
      }
    }
    if (there === 0) throw gone(group);
    return plan;
  }

  return {
    version,
    find: finder.find,

    async read(group): Promise<CgroupLimits> {
      await othersTurn();
      const all: CgroupLimits[] = [];
      for (const [controller, driver] of drivers) {
        const directory = finder.directoryOf(group, controller);
        if (directory !== undefined) {
          const known = (): Promise<readonly string[]> => knownDisks(group, directory);
          all.push(await driver.read({ directory, mayKill: false, disks: known }));
        }
      }
      if (all.length === 0) throw gone(group);
      return Object.assign({}, ...all) as CgroupLimits;
    },

    async apply(group, wanted, { mayKill }): Promise<readonly Shortfall[]> {
      checkWanted(wanted);
      await othersTurn();
      const notes = openNotes();
      const plan = await planFor(group, wanted, { mayKill, notes });
      const journal = openJournal(reclaimMs);
      try {
        for (const carryOut of plan) await carryOut(journal, notes);
      } catch (error) {
        throw await putBack(journal, error);
      }
      return notes.all;
    },

    async statistics(group): Promise<CgroupStatistics> {
      const found = statisticsOf((controller) => finder.directoryOf(group, controller));
      if (found === undefined) throw gone(group);
      return found;
    },
  };
}

interface How {
  readonly mayKill: boolean;
  readonly notes: Notes;
}

/** In the order in which they are set: memory last, because it alone can be hard to put back. */
function driversOf(
  found: ReadonlyMap<Controller, Hierarchy>,
  reclaimMs: number,
): ReadonlyMap<Controller, Driver> {
  const isV2 = (controller: Controller): boolean => found.get(controller)?.version === 2;
  const reclaim = { limitMs: reclaimMs, turns: createTurns(RECLAIMS_AT_ONCE) };
  return new Map<Controller, Driver>([
    ['cpuset', cpusetDriver(isV2('cpuset') ? 2 : 1)],
    ['cpu', cpuDriver(isV2('cpu') ? cpuFilesV2 : cpuFilesV1)],
    ['pids', pidsDriver],
    ['io', blockDriver(isV2('io') ? blockFilesV2 : blockFilesV1)],
    ['memory', isV2('memory') ? memoryDriverV2(reclaim) : memoryDriverV1(reclaim)],
  ]);
}

function pick(wanted: CgroupLimits, { fields }: Driver): CgroupLimits {
  return Object.fromEntries(
    fields.flatMap((field) => (wanted[field] === undefined ? [] : [[field, wanted[field]]])),
  );
}

/** Without a limit there is nothing to lack. */
function noteAll(wanted: CgroupLimits, why: string, notes: Notes): void {
  for (const [field, value] of Object.entries(wanted)) {
    if (value !== null) notes.add(field as CgroupField, value, why);
  }
}

async function putBack(journal: Journal, error: unknown): Promise<SluiceError> {
  const left = await journal.putBack();
  const first =
    error instanceof WriteError
      ? new SluiceError('kernel_refused', error.message, 'nothing was changed', { cause: error })
      : asSluiceError(error);
  if (left.length === 0) return first;
  const message = `${first.message}; and could not be put back: ${left.join(', ')}`;
  return new SluiceError(first.code, message, first.hint, { cause: first });
}

function gone({ paths }: ContainerCgroup): SluiceError {
  const [path = 'of the container'] = paths.values();
  return new SluiceError(
    'not_found',
    `the control group ${path} is gone`,
    'its container has ended, or is being made anew',
  );
}
