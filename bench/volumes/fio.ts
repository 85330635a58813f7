/** What fio gets through a mounted volume. */
import type { Argv } from '../../linux/process.ts';
import { SluiceError } from '../../model/errors.ts';
import type { OneBrick } from '../../test/support/one-brick.ts';

export type Way = 'read' | 'write' | 'randread' | 'randwrite';

export interface Load {
  readonly root: string;
  readonly way: Way;
  readonly block: number;
  readonly direct: boolean;
  readonly jobs: number;
  /** Of each job's file. */
  readonly bytes: number;
  readonly seconds: number;
}

export interface Throughput {
  readonly bytesPerSecond: number;
  readonly opsPerSecond: number;
}

/** Job n works on this one. */
const FILES = 'bench.$jobnum';
/** Not counted: what was saved up before it began. */
const RAMP_S = 1;
const MOST_BYTES = 512 * 2 ** 20;
export const MOST_JOBS = 4;

/** Makes the files, once for all clients of the volume. @param bytes  of each */
export async function prepareFiles(brick: OneBrick, root: string, bytes: number): Promise<void> {
  const files = ['--rw=write', '--bs=1m', `--size=${sizeOf(bytes)}`, `--numjobs=${MOST_JOBS}`];
  await brick.runOk(...command(root, files));
}

export async function measureLoad(brick: OneBrick, load: Load): Promise<Throughput> {
  const { root, way, block, direct, jobs, bytes, seconds } = load;
  const what = [
    `--rw=${way}`,
    `--bs=${block}`,
    `--direct=${Number(direct)}`,
    `--numjobs=${jobs}`,
    `--size=${sizeOf(bytes)}`,
  ];
  const time = ['--time_based', `--ramp_time=${RAMP_S}s`, `--runtime=${seconds}s`, '--output-format=json'];
  return parse(await brick.runOk(...command(root, [...what, ...time])));
}

const sizeOf = (bytes: number): number => Math.min(MOST_BYTES, Math.ceil(bytes / 2 ** 20) * 2 ** 20);

function command(root: string, words: readonly string[]): Argv {
  const job = ['--name=bench', `--directory=${root}`, `--filename_format=${FILES}`, '--fallocate=none'];
  return ['fio', ...job, '--thread', '--group_reporting', '--overwrite=1', ...words];
}

interface Report {
  readonly jobs: readonly Readonly<
    Record<'read' | 'write', { readonly bw_bytes: number; readonly iops: number }>
  >[];
}

function parse(text: string): Throughput {
  const [job] = (JSON.parse(text) as Report).jobs;
  if (job === undefined)
    throw new SluiceError('program_failed', 'fio reports no job', 'run it by hand to see more');
  return {
    bytesPerSecond: job.read.bw_bytes + job.write.bw_bytes,
    opsPerSecond: job.read.iops + job.write.iops,
  };
}
