/** A container without a runtime: groups in every hierarchy, and processes in a network namespace of their own. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasFile, processesIn, subtreeOf } from '../../linux/cgroup-files.ts';
import { type Controller, findHierarchies, type Hierarchy } from '../../linux/cgroup-hierarchies.ts';
import { SluiceError } from '../../model/errors.ts';
import type { ContainerId } from '../../model/names.ts';
import type { CgroupHints } from '../../qos/contract.ts';
import { helper } from '../helper.ts';

/** A process of the container that does one thing (bench/limitload.c). */
export interface Load {
  readonly pid: number;
  /** It is in its groups and begins. */
  go(): void;
  /** The next line it prints. @throws SluiceError `program_failed` when it ends without one */
  line(): Promise<string>;
  readonly ended: Promise<void>;
  isAlive(): boolean;
  /** What it says that it holds. */
  untilHeld(): Promise<void>;
}

export interface BareContainer {
  readonly id: ContainerId;
  /** Where its group is in the hierarchy of a controller. */
  directory(controller: Controller): string;
  /** What a runtime would tell of it; there has to be a process already. */
  hints(cgroupPath?: string): CgroupHints;
  /** Started, in its groups, and waiting. @param words  as limitload takes them */
  start(words: readonly (string | number)[]): Promise<Load>;
  /** Ends its processes. */
  stop(): Promise<void>;
  /** Also when nothing of it is left. */
  remove(): Promise<void>;
}

type Child = ChildProcessByStdio<Writable, Readable, null>;

/**
 * @param prefix  of the group around it, below the root; with our process id behind it, so that runs do not meet
 * @param around  groups between that one and the container's own, outermost first
 */
export function createContainer(prefix: string, around: readonly string[] = []): BareContainer {
  const { byController, cpuacct } = findHierarchies();
  const hierarchies = new Set<Hierarchy>([...byController.values(), ...(cpuacct ? [cpuacct] : [])]);
  const id = randomBytes(32).toString('hex') as ContainerId;
  const outermost = `/${prefix}${process.pid}`;
  const path = [outermost, ...around, id].join('/');
  const parents = [
    outermost,
    ...around.map((_, index) => [outermost, ...around.slice(0, index + 1)].join('/')),
  ];
  const children: Child[] = [];

  for (const hierarchy of hierarchies) {
    if (hierarchy.version === 2) handOn(hierarchy.mountPoint, byController);
    for (const one of parents) {
      const directory = makeGroup(hierarchy, one);
      if (hierarchy.version === 2) handOn(directory, byController);
      goFirst(directory);
    }
    makeGroup(hierarchy, path);
  }

  async function start(words: readonly (string | number)[]): Promise<Load> {
    const first = children.find(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    const netns = first === undefined ? ['unshare', '--net'] : ['nsenter', `--net=/proc/${first.pid}/ns/net`];
    const [program = '', ...args] = [...netns, helper('limitload'), ...words.map(String)];
    const child: Child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    children.push(child);
    const load = loadOf(child);
    if ((await load.line()) !== 'ready') throw failed(words);
    for (const { mountPoint } of hierarchies) {
      writeFileSync(`${mountPoint}${path}/cgroup.procs`, String(child.pid));
    }
    return load;
  }

  async function stop(): Promise<void> {
    for (const child of children) child.kill('SIGKILL');
    const inside = (): number[] =>
      [...hierarchies].flatMap(({ mountPoint }) => processesIn(`${mountPoint}${path}`));
    const deadline = performance.now() + 5_000;
    while (inside().length > 0 && performance.now() < deadline) {
      for (const pid of inside()) kill(pid);
      await sleep(10);
    }
  }

  return {
    id,
    start,
    stop,
    directory(controller) {
      const hierarchy = byController.get(controller);
      if (hierarchy === undefined)
        throw new SluiceError('not_found', `no controller ${controller}`, 'see cgroups(7)');
      return `${hierarchy.mountPoint}${path}`;
    },
    hints(cgroupPath) {
      const pid = children.at(-1)?.pid ?? 0;
      const netnsInode = statSync(`/proc/${pid}/ns/net`).ino;
      return { containerId: id, cgroupPath: cgroupPath ?? null, netnsInode };
    },
    async remove() {
      await stop();
      for (const { mountPoint } of hierarchies) {
        for (const group of subtreeOf(`${mountPoint}${path}`).reverse()) await removeGroup(group, 2_000);
        // Those around it may still have other containers'.
        for (const group of parents.toReversed()) await removeGroup(`${mountPoint}${group}`, 0);
      }
    },
  };
}

function makeGroup({ mountPoint, names }: Hierarchy, path: string): string {
  const directory = `${mountPoint}${path}`;
  mkdirSync(directory, { recursive: true });
  if (names.includes('cpuset')) inheritCpus(directory);
  return directory;
}

function handOn(directory: string, byController: ReadonlyMap<Controller, Hierarchy>): void {
  const ours = [...byController].filter(([, { version }]) => version === 2).map(([name]) => `+${name}`);
  if (ours.length > 0) writeFileSync(`${directory}/cgroup.subtree_control`, ours.join(' '));
}

/** What others do on the machine must not take what a quota leaves: who has the largest weight is served first. */
function goFirst(directory: string): void {
  for (const [file, most] of [
    ['cpu.shares', '262144'],
    ['cpu.weight', '10000'],
  ] as const) {
    if (hasFile(directory, file)) writeFileSync(`${directory}/${file}`, most);
  }
}

/** On v1 a group without CPUs and memory nodes of its own takes no process. */
function inheritCpus(directory: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    if (readFileSync(`${directory}/${file}`, 'utf8').trim() !== '') continue;
    writeFileSync(`${directory}/${file}`, readFileSync(`${directory}/../${file}`, 'utf8'));
  }
}

/** The kernel lets go of a group a moment after its last process. */
async function removeGroup(group: string, waitMs: number): Promise<void> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    try {
      rmdirSync(group);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EBUSY' || performance.now() > deadline) return;
      await sleep(10);
    }
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function loadOf(child: Child): Load {
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.stdin.on('error', () => undefined); // it may have been killed
  async function line(): Promise<string> {
    const { value, done } = await lines.next();
    if (done === true) throw failed(child.spawnargs);
    return String(value);
  }
  return {
    pid: child.pid ?? 0,
    line,
    ended,
    go: () => void child.stdin.write('\n'),
    isAlive: () => child.exitCode === null && child.signalCode === null,
    async untilHeld() {
      while ((await line()) !== 'held');
    },
  };
}

function failed(words: readonly (string | number)[]): SluiceError {
  return new SluiceError('program_failed', `'${words.join(' ')}' ended early`, 'make builds what it needs');
}
