/** Which control group hierarchies a machine has, and which of them has which controller (cgroups(7)). */
import { readFileSync } from 'node:fs';
import { textOf } from './cgroup-files.ts';
import { detachedHierarchies } from './detached-cgroups.ts';

/** The controllers that hold limits of ours, under the names of cgroup v2. */
export const CONTROLLERS = ['cpu', 'cpuset', 'memory', 'pids', 'io'] as const;
export type Controller = (typeof CONTROLLERS)[number];

export interface Hierarchy {
  readonly version: 1 | 2;
  /** Where it is mounted. */
  readonly mountPoint: string;
  /** Which group is mounted there; '/' unless we see a part of it only. */
  readonly mountRoot: string;
  /** The names in /proc/PID/cgroup: of controllers and `name=…` for v1, none for v2. */
  readonly names: readonly string[];
}

/** What v1 calls them. */
const V1_NAMES: Readonly<Record<Controller, string>> = {
  ...{ cpu: 'cpu', cpuset: 'cpuset', memory: 'memory', pids: 'pids', io: 'blkio' },
};

export interface Hierarchies {
  /** A controller is in one hierarchy only; one that the kernel lacks is in none. */
  readonly byController: ReadonlyMap<Controller, Hierarchy>;
  /** The one of v1 that counts CPU time; on v2 `cpu` does. */
  readonly cpuacct: Hierarchy | undefined;
}

/**
 * Asks for each controller by itself: on a hybrid machine some may be in v1 and others in v2.
 * @param root  of the file system in which /proc and /sys are; '' but for tests
 */
export function findHierarchies(root = ''): Hierarchies {
  const visible = parseCgroupMounts(readFileSync(`${root}/proc/self/mountinfo`, 'utf8'));
  const mounted = visible.length === 0 && root === '' ? detachedHierarchies() : visible;
  const all = mounted.map((one) => ({ ...one, mountPoint: `${root}${one.mountPoint}` }));
  const unified = all.find(({ version }) => version === 2);
  const inUnified = new Set(
    (unified && textOf(unified.mountPoint, 'cgroup.controllers')?.trim().split(' ')) ?? [],
  );
  const v1 = (name: string): Hierarchy | undefined => all.find(({ names }) => names.includes(name));
  const byController = new Map<Controller, Hierarchy>();
  for (const controller of CONTROLLERS) {
    const found = v1(V1_NAMES[controller]) ?? (inUnified.has(controller) ? unified : undefined);
    if (found !== undefined) byController.set(controller, found);
  }
  return { byController, cpuacct: v1('cpuacct') };
}

/** Of one hierarchy that is mounted twice, the mount that shows the whole of it. */
export function parseCgroupMounts(mountinfo: string): Hierarchy[] {
  const found = mountinfo.split('\n').flatMap((line): Hierarchy[] => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , mountRoot = '', mountPoint = ''] = before.split(' ');
    const [type, , options = ''] = after.split(' ');
    if (type === 'cgroup2') return [{ version: 2, mountPoint, mountRoot, names: [] }];
    return type === 'cgroup' ? [{ version: 1, mountPoint, mountRoot, names: options.split(',') }] : [];
  });
  return found.sort((a, b) => a.mountRoot.length - b.mountRoot.length);
}

/**
 * A process's group in each hierarchy (/proc/PID/cgroup), as seen from the mount.
 * @returns undefined when the process is gone
 */
export function groupsOfProcess(
  pid: number | 'self',
  root = '',
): ((of: Hierarchy) => string | undefined) | undefined {
  const text = textOf(`${root}/proc/${pid}`, 'cgroup');
  if (text === undefined) return undefined;
  const lines = text.split('\n').map((line) => /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []);
  return ({ version, names }) => {
    const line = lines.find(([, controllers]) =>
      version === 2
        ? controllers === ''
        : controllers?.split(',').some((one) => names.includes(one)) === true,
    );
    return line?.[2];
  };
}
