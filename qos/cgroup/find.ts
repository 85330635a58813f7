/** Finding a container's group by what the runtime and the kernel say; nothing that a container says of itself counts. */
import { groupDirectory, isFolder, processesIn } from '../../linux/cgroup-files.ts';
import { groupsOfProcess, type Hierarchies, type Hierarchy } from '../../linux/cgroup-hierarchies.ts';
import { type NetnsProcesses, netnsInodeOf, programOf } from '../../linux/netns-processes.ts';
import type { CgroupHints, ContainerCgroup } from '../contract.ts';
import { containerGroup, groupOfHint, isAround, isPodGroup, isRuntimes } from './names.ts';

export interface Finder {
  find(hints: CgroupHints): Promise<ContainerCgroup | undefined>;
  /** The folder of a group in a controller's hierarchy; undefined when it is gone or was never there. */
  directoryOf(group: ContainerCgroup, controller: string): string | undefined;
}

export interface FinderOptions {
  /** Of the file system in which /proc is. */
  readonly root: string;
  /**
   * For so long a container that looks like the runtime itself is waited for. Not longer: whoever calls its program
   * runc would otherwise never be held.
   */
  readonly runtimeMs: number;
  readonly hierarchies: Hierarchies;
  readonly processes: NetnsProcesses;
}

export function createFinder({ root, runtimeMs, hierarchies, processes }: FinderOptions): Finder {
  const places = new Map<string, Hierarchy>(hierarchies.byController);
  if (hierarchies.cpuacct !== undefined) places.set('cpuacct', hierarchies.cpuacct);
  const version = [...places.values()].some((one) => one.version === 1) ? 1 : 2;
  /** Since when a container has looked like its runtime (performance.now). */
  const waiting = new Map<string, number>();

  function directoryIn(hierarchy: Hierarchy, path: string): string | undefined {
    const seen = seenFrom(hierarchy, path);
    return seen === undefined ? undefined : groupDirectory(hierarchy.mountPoint, seen);
  }

  /** Of one process, by controller. @param own  the groups of this process */
  function groupsOf(pid: number, hints: CgroupHints, own: GroupOf | undefined): Map<string, string> {
    const found = new Map<string, string>();
    const of = groupsOfProcess(pid, root);
    for (const [controller, hierarchy] of places) {
      const path = of?.(hierarchy);
      const group = path === undefined ? undefined : groupAround(path, hints);
      // Never our own, nor one around it: its limits would be ours.
      if (group === undefined || group === '/' || isAround(group, own?.(hierarchy) ?? '/')) continue;
      if (directoryIn(hierarchy, group) !== undefined) found.set(controller, group);
    }
    return found;
  }

  /** Where the runtime may have put it, if it has said so: cheaper to look at than all processes. */
  async function candidates({ cgroupPath, netnsInode }: CgroupHints): Promise<readonly number[]> {
    const hint = cgroupPath === null ? undefined : groupOfHint(cgroupPath);
    const [hierarchy] = ['pids', 'memory', 'cpu'].flatMap((name) => places.get(name) ?? []);
    if (hint !== undefined && hierarchy !== undefined) {
      const directory = directoryIn(hierarchy, hint);
      const there = directory === undefined ? [] : processesIn(directory);
      const ours = there.filter((pid) => netnsInodeOf(pid, root) === netnsInode);
      if (ours.length > 0) return ours.sort((a, b) => a - b);
    }
    return processes.in(netnsInode);
  }

  /** Whether one that looks like its runtime has done so for long enough. */
  function hasWaited(containerId: string): boolean {
    const since = waiting.get(containerId) ?? performance.now();
    waiting.set(containerId, since);
    return performance.now() - since >= runtimeMs;
  }

  return {
    async find(hints): Promise<ContainerCgroup | undefined> {
      const own = groupsOfProcess('self', root);
      let beingMade: ContainerCgroup | undefined;
      for (const pid of await candidates(hints)) {
        const paths = groupsOf(pid, hints, own);
        if (paths.size === 0) continue;
        const found = { version, paths, pid } as const;
        if (!isRuntimes(programOf(pid, root))) {
          waiting.delete(hints.containerId);
          return found;
        }
        beingMade ??= found;
      }
      if (beingMade !== undefined && !hasWaited(hints.containerId)) return undefined;
      waiting.delete(hints.containerId);
      return beingMade;
    },
    directoryOf({ paths }, controller): string | undefined {
      const [path, hierarchy] = [paths.get(controller), places.get(controller)];
      const directory = path === undefined || hierarchy === undefined ? undefined : folderOf(hierarchy, path);
      // It was walked to when it was found; nobody can put a link into a hierarchy of the kernel's.
      return directory !== undefined && isFolder(directory) ? directory : undefined;
    },
  };
}

type GroupOf = (of: Hierarchy) => string | undefined;

/** A group's path from the mount on, which may show a part of the hierarchy only. */
function seenFrom({ mountRoot }: Hierarchy, path: string): string | undefined {
  if (!isAround(mountRoot, path)) return undefined;
  return mountRoot === '/' ? path : path.slice(mountRoot.length);
}

function folderOf(hierarchy: Hierarchy, path: string): string | undefined {
  const seen = seenFrom(hierarchy, path);
  return seen === undefined ? undefined : `${hierarchy.mountPoint}${seen}`;
}

/** The pod's group that the runtime has named, where the process is in it; else the one named after the container. */
function groupAround(path: string, { cgroupPath, containerId }: CgroupHints): string | undefined {
  const hint = cgroupPath === null ? undefined : groupOfHint(cgroupPath);
  if (hint !== undefined && isPodGroup(hint) && isAround(hint, path)) return hint;
  return containerGroup(path, containerId);
}
