/** A process in control groups of its own, as a runtime leaves them, in the network namespace of a lab's container. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { LabContainer } from '../../lab/lab.ts';
import { type Controller, findHierarchies } from '../../linux/cgroup-hierarchies.ts';
import { removeCgroup } from '../../linux/cgroups.ts';
import { type Daemon, startDaemon } from '../../linux/process.ts';

export interface HeldProcess extends AsyncDisposable {
  readonly pid: number;
  /** A file of the group in a controller's hierarchy. */
  read(controller: Controller, file: string): string;
  write(controller: Controller, file: string, text: string): void;
}

export interface RuntimeLimits {
  readonly memory?: number;
  readonly pids?: number;
  readonly cpu?: number;
}

/**
 * Named after the container, as runtimes do, inside a group of the test's own; on v1 one in each hierarchy.
 * @param parent  such as '/sluice-e2e'; removed with the process
 */
export async function holdProcess(
  container: Pick<LabContainer, 'id' | 'namespace'>,
  parent: string,
  limits: RuntimeLimits = {},
): Promise<HeldProcess> {
  const group = `${parent}/${container.id}`;
  const { byController } = findHierarchies();
  const directory = (controller: Controller): string => `${byController.get(controller)?.mountPoint}${group}`;
  const write = (controller: Controller, file: string, text: string): void =>
    writeFileSync(`${directory(controller)}/${file}`, text);
  for (const [controller, { version, mountPoint }] of byController) {
    mkdirSync(directory(controller), { recursive: true });
    if (version === 2) writeFileSync(`${mountPoint}${parent}/cgroup.subtree_control`, `+${controller}`);
    else if (controller === 'cpuset') inheritCpuset(mountPoint, [parent, group]);
  }
  const isV2 = (controller: Controller): boolean => byController.get(controller)?.version === 2;
  const { memory, pids, cpu } = limits;
  if (memory !== undefined)
    write('memory', isV2('memory') ? 'memory.max' : 'memory.limit_in_bytes', String(memory));
  if (pids !== undefined) write('pids', 'pids.max', String(pids));
  if (cpu !== undefined && isV2('cpu')) write('cpu', 'cpu.max', `${cpu * 100_000} 100000`);
  else if (cpu !== undefined) write('cpu', 'cpu.cfs_quota_us', String(cpu * 100_000));

  const daemon: Daemon = await startDaemon(['ip', 'netns', 'exec', container.namespace, 'sleep', '600']);
  for (const controller of byController.keys()) write(controller, 'cgroup.procs', String(daemon.id.pid));
  return {
    pid: daemon.id.pid,
    read: (controller, file) => readFileSync(`${directory(controller)}/${file}`, 'utf8').trim(),
    write,
    async [Symbol.asyncDispose](): Promise<void> {
      await daemon.stop();
      removeCgroup(group);
      removeCgroup(parent);
    },
  };
}

/** A group of v1 takes no process before it has CPUs and memory. */
function inheritCpuset(mountPoint: string, groups: readonly string[]): void {
  for (const group of groups)
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      const around = readFileSync(`${mountPoint}${group.slice(0, group.lastIndexOf('/'))}/${file}`, 'utf8');
      writeFileSync(`${mountPoint}${group}/${file}`, around);
    }
}
