/** A container without a runtime: namespaces of its own, a control group named after it, and a process that sleeps. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { ContainerOptions, Lab, LabContainer } from '../../lab/lab.ts';
import { localClient } from '../../linux/api-client.ts';
import { findHierarchies } from '../../linux/cgroup-hierarchies.ts';
import { removeCgroup } from '../../linux/cgroups.ts';
import { openNetns } from '../../linux/netns.ts';
import {
  type Argv,
  identify,
  type ProcessId,
  processesInNetns,
  runOk,
  startDaemon,
  stopProcess,
} from '../../linux/process.ts';
import type { CgroupField, LimitValue } from '../../model/limits.ts';
import type { ContainerId } from '../../model/names.ts';
import { openCgroupKeeper } from '../../qos/cgroup/keeper.ts';
import type { CgroupLimits } from '../../qos/contract.ts';
import { sameValue } from '../../qos/same.ts';
import { until } from '../runtimes/until.ts';

export interface PlainContainer {
  readonly attached: LabContainer;
  /** Its first process. */
  readonly pid: number;
  /** Runs a program in its namespaces and its control group. */
  exec(argv: Argv): Promise<string>;
  /** Starts one that goes on, until `end`. */
  start(argv: Argv): Promise<ProcessId>;
  /** Ends all programs of this name in it. */
  end(program: string): void;
  /** Says what its limits are to be, as an operator does, and waits until the kernel holds them. */
  limit(limits: CgroupLimits): Promise<void>;
  /** Ends its processes; the attachment goes with the lab. */
  close(): Promise<void>;
}

export async function plainContainer(
  lab: Lab,
  node: string,
  tenant: string,
  name: string,
  options: ContainerOptions = {},
): Promise<PlainContainer> {
  const attached = await lab.container(node, tenant, name, options);
  const groups = makeGroups(attached.id);
  const joining = `for group in ${groups.join(' ')}; do echo $$ >$group/cgroup.procs; done; exec "$@"`;
  const inGroups = (argv: Argv): Argv => ['sh', '-euc', joining, 'sh', ...argv];
  const apart = [
    'unshare',
    '--mount',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
    'sleep',
    '2147483647',
  ];
  await startDaemon(inGroups(['nsenter', `--net=${attached.netns}`, ...apart]));
  let pid = 0;
  await until('the container lives', () => {
    pid = processesInNetns(attached.netns).find((one) => nameOf(one.pid) === 'sleep')?.pid ?? 0;
    return pid !== 0;
  });
  const inside = (argv: Argv): Argv =>
    inGroups(['nsenter', '--target', String(pid), '--net', '--mount', '--pid', '--', ...argv]);
  return {
    attached,
    pid,
    exec: (argv) => runOk(inside(argv)),
    async start(argv) {
      return (await startDaemon(inside(argv))).id;
    },
    end(program) {
      for (const one of processesInNetns(attached.netns))
        if (nameOf(one.pid) === program) process.kill(one.pid, 'SIGKILL');
    },
    async limit(limits) {
      const netd = localClient(`${lab.node(node).runDir}/netd.sock`);
      try {
        await netd.request('PUT', `/v1/limits/${attached.id}`, { limits });
      } finally {
        netd.close();
      }
      const keeper = openCgroupKeeper();
      using netns = openNetns(attached.netns);
      const hints = { containerId: attached.id as ContainerId, cgroupPath: null, netnsInode: netns.inode };
      await until('the kernel holds the limits', async () => {
        const group = await keeper.find(hints);
        const held = group === undefined ? {} : await keeper.read(group);
        return (Object.entries(limits) as [CgroupField, LimitValue][]).every(
          ([field, value]) => held[field] !== undefined && sameValue(field, value, held[field]),
        );
      });
    },
    async close() {
      const id = identify(pid);
      // The first process of a process namespace does not hear SIGTERM, and takes all others with it.
      if (id !== undefined) process.kill(pid, 'SIGKILL');
      await until(
        'the container has ended',
        () => identify(pid)?.startedAt !== id?.startedAt || id === undefined,
      );
      for (const one of processesInNetns(attached.netns)) await stopProcess(one);
      removeCgroup(`/${attached.id}`);
    },
  };
}

/** In every hierarchy. @returns their folders */
function makeGroups(name: string): string[] {
  const { byController, cpuacct } = findHierarchies();
  const all = new Set([...byController.values(), ...(cpuacct ? [cpuacct] : [])].map((one) => one.mountPoint));
  return [...all].map((mountPoint) => {
    const group = `${mountPoint}/${name}`;
    mkdirSync(group, { recursive: true });
    // A new cpuset of v1 is empty, and takes no process.
    for (const file of ['cpuset.mems', 'cpuset.cpus']) {
      const parent = readIfThere(`${mountPoint}/${file}`);
      if (parent !== undefined) writeFileSync(`${group}/${file}`, parent);
    }
    return group;
  });
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function nameOf(pid: number): string {
  return (readIfThere(`/proc/${pid}/comm`) ?? '').trim();
}
