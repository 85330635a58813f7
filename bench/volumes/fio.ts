/** What fio gets through a mounted volume. */
import type { Argv } from '../../linux/process.ts';
import { SluiceError } from '../../model/errors.ts';
import type { OneBrick } from '../../test/support/one-brick.ts';

export type Way = 'read' | 'write' | 'randread' | 'randwrite';

export interface Load {
  readonly root: string;
  /** Of its files, so that loads at the same time have their own: `prepareFiles` has made them. */
  readonly files: string;
  readonly way: Way;
  readonly block: number;
  readonly direct: boolean;
  readonly jobs: number;
  /** Of each job's file. */
  readonly bytes: number;
  /** For how long it is measured; or until it is through with its files, if that is sooner. */
  readonly ms: number;
  readonly once?: boolean;
  /** Not counted: what was saved up before it began. */
  readonly rampMs: number;
}

export interface Throughput {
  readonly bytesPerSecond: number;
  readonly opsPerSecond: number;
}

const MOST_BYTES = 512 * 2 ** 20;
/** Places are the same at every run: what is measured in turn does the same work. */
const SEED = 20_260_101;
/** Those that are measured one after the other in one process begin without its start. */
const GLOBAL = ['--thread', '--group_reporting', '--overwrite=1', '--fallocate=none', `--randseed=${SEED}`];

/** Makes one load's files, once for all clients of the volume, and brings them to the brick. */
export async function prepareFiles(
  brick: OneBrick,
  { root, files, bytes, jobs }: Pick<Load, 'root' | 'files' | 'bytes' | 'jobs'>,
): Promise<void> {
  const words = ['--rw=write', '--bs=1m', '--end_fsync=1', ...filesOf({ root, files, bytes, jobs })];
  await brick.runOk('fio', ...GLOBAL, '--name=prepare', ...words);
}

/** In turn, each alone. @returns their throughputs in the same order */
export async function measureLoads(brick: OneBrick, loads: readonly Load[]): Promise<Throughput[]> {
  const argv: Argv = ['fio', ...GLOBAL, '--output-format=json', ...loads.flatMap(wordsOf)];
  const found = parse(await brick.runOk(...argv));
  if (found.length === loads.length) return found;
  throw broken(`fio reports ${found.length} loads of ${loads.length}`);
}

export async function measureLoad(brick: OneBrick, load: Load): Promise<Throughput> {
  const [one] = await measureLoads(brick, [load]);
  if (one === undefined) throw broken('fio reports nothing');
  return one;
}

function wordsOf(load: Load, index: number): string[] {
  const { way, block, direct, ms, rampMs, once = false } = load;
  return [
    ...[`--name=load${index}`, '--stonewall', `--rw=${way}`, `--bs=${block}`, `--direct=${Number(direct)}`],
    ...filesOf(load),
    ...(once ? [] : ['--time_based']),
    ...[`--ramp_time=${rampMs}ms`, `--runtime=${ms}ms`],
  ];
}

/** Job n has the nth. */
function filesOf({ root, files, bytes, jobs }: Pick<Load, 'root' | 'files' | 'bytes' | 'jobs'>): string[] {
  const size = Math.min(MOST_BYTES, Math.ceil(bytes / 2 ** 20) * 2 ** 20);
  const names = [`--directory=${root}`, `--filename_format=${files}.$jobnum`];
  return [...names, `--size=${size}`, `--numjobs=${jobs}`];
}

interface Report {
  readonly jobs: readonly Readonly<
    Record<
      'read' | 'write',
      { readonly io_bytes: number; readonly total_ios: number; readonly runtime: number }
    >
  >[];
}

function parse(text: string): Throughput[] {
  // What it has to say besides comes first.
  const { jobs } = JSON.parse(text.slice(text.indexOf('{'))) as Report;
  return jobs.map(({ read, write }) => {
    const seconds = Math.max(read.runtime, write.runtime) / 1_000;
    return {
      bytesPerSecond: (read.io_bytes + write.io_bytes) / seconds,
      opsPerSecond: (read.total_ios + write.total_ios) / seconds,
    };
  });
}

function broken(what: string): SluiceError {
  return new SluiceError('program_failed', what, 'run it by hand to see more');
}
