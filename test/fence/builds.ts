/** Builds and loads the fence's programs, whole or with the checks of one drop reason left out. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type BpfMap, type BpfProgram, sumPerCpu } from '../../linux/bpf.ts';
import { type LoadedObject, loadObject } from '../../linux/bpf-object.ts';
import { type Argv, runOk } from '../../linux/process.ts';
import type { MapName, ProgramName } from '../../tagqueue/maps.ts';
import { DROP_REASONS, type DropReason, numberOfReason } from '../../tagqueue/reasons.ts';

const SOURCE = resolve(import.meta.dirname, '../../tagqueue/bpf/fence.bpf.c');
const FLAGS = [
  '-O2',
  '-g',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-target',
  'bpf',
  '-mcpu=v3',
  `-I/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`,
];

function compiler(object: string, without: DropReason | undefined): Argv {
  const mutant = without === undefined ? [] : [`-DMUTANT=${numberOfReason(without)}`];
  return ['clang', ...FLAGS, ...mutant, '-c', SOURCE, '-o', object];
}

/** Objects compiled for one test file; dispose of it at the end. */
export class FenceBuilds implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'sluice-fence-'));

  /** @returns the path of an object that lacks the checks of `without`; of the whole fence by default. */
  build(without?: DropReason): string {
    const object = this.#objectOf(without);
    if (existsSync(object)) return object;
    const [program, ...args] = compiler(object, without);
    execFileSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    return object;
  }

  /** Compiles some of them on all CPUs, so that `build` has them at once. */
  async ahead(reasons: readonly (DropReason | undefined)[]): Promise<void> {
    const waiting = [...reasons];
    const work = async (): Promise<void> => {
      while (waiting.length > 0) {
        const without = waiting.shift();
        const object = this.#objectOf(without);
        await runOk(compiler(`${object}.part`, without));
        renameSync(`${object}.part`, object);
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, work));
  }

  #objectOf(without: DropReason | undefined): string {
    return join(this.#directory, `${without ?? 'fence'}.bpf.o`);
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }
}

/** A loaded fence with maps of its own, attached to nothing. */
export interface Fence extends Disposable {
  program(name: ProgramName): BpfProgram;
  map(name: MapName): BpfMap;
  /** How often each reason was counted so far, without those that never were. */
  drops(): Partial<Record<DropReason, number>>;
}

/** @throws Error when the test does not run as root. */
export function loadFence(object: string): Fence {
  if (process.getuid?.() !== 0)
    throw new Error('this test loads eBPF programs into the kernel: run it as root');
  const loaded = loadObject(object);
  return {
    program: (name) => named(loaded.programs, name),
    map: (name) => named(loaded.maps, name),
    drops: () => dropsOf(loaded),
    [Symbol.dispose]: () => loaded[Symbol.dispose](),
  };
}

function named<T>(all: ReadonlyMap<string, T>, name: string): T {
  const found = all.get(name);
  if (found === undefined) throw new Error(`the object has no ${name}`);
  return found;
}

function dropsOf(loaded: LoadedObject): Partial<Record<DropReason, number>> {
  const counted = DROP_REASONS.map((reason): [DropReason, number] => [
    reason,
    Number(sumPerCpu(named(loaded.maps, 'drops'), numberOfReason(reason))),
  ]);
  return Object.fromEntries(counted.filter(([, drops]) => drops > 0));
}
