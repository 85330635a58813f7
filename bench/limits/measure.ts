/** How exactly a container's CPU time and disk traffic are what its limits say. */
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import * as z from 'zod';
import { run, runOk } from '../../linux/process.ts';
import type { BareContainer } from './container.ts';

const CpuReport = z.object({ cpu: z.number(), wall: z.number() });
const DiskReport = z.object({
  requests: z.number(),
  bytes: z.number(),
  seconds: z.number(),
  /** Requests of each second from the first on. */
  each: z.array(z.number()),
});
export type DiskReport = z.infer<typeof DiskReport>;

/** @returns cores used, over so many seconds after the first half */
export async function coresUsed(container: BareContainer, threads: number, seconds: number): Promise<number> {
  const load = await container.start(['cpu', threads, seconds]);
  load.go();
  const { cpu, wall } = CpuReport.parse(JSON.parse(await load.line()));
  await load.ended;
  return cpu / wall;
}

export interface DiskLoad {
  readonly file: string;
  readonly direction: 'read' | 'write';
  /** Bytes of each request. */
  readonly block: number;
  /** At once. */
  readonly threads: number;
  readonly seconds: number;
}

export async function diskTraffic(container: BareContainer, how: DiskLoad): Promise<DiskReport> {
  const load = await container.start(['disk', how.file, how.direction, how.block, how.threads, how.seconds]);
  load.go();
  const report = DiskReport.parse(JSON.parse(await load.line()));
  await load.ended;
  return report;
}

/** A file on a disk, of our own where the machine has a loop device left, to be written and read straight. */
export interface LoopDisk {
  readonly file: string;
  close(): Promise<void>;
}

const MIB = 2 ** 20;

/** @param directory  of ours, on a disk; made, and taken away again */
export async function openLoopDisk(directory: string, fileMib = 64): Promise<LoopDisk> {
  mkdirSync(`${directory}/mount`, { recursive: true });
  const image = `${directory}/image`;
  const file = `${directory}/mount/file`;
  let device: string | undefined;
  const close = async (): Promise<void> => {
    if (device !== undefined) await runOk(['sh', '-c', UNMOUNT, 'sh', `${directory}/mount`, device]);
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    fill(image, fileMib * 2);
    const { code, stdout } = await run(['losetup', '--find', '--show', image]);
    if (code === 0) {
      device = stdout.trim();
      await runOk(['mkfs.ext4', '-q', '-F', device]);
      await runOk(['mount', device, `${directory}/mount`]);
    }
    fill(file, fileMib);
    return { file, close };
  } catch (error) {
    await close();
    throw error;
  }
}

const UNMOUNT = 'mountpoint -q "$1" && umount "$1"; losetup --detach "$2"';

function fill(file: string, mib: number): void {
  const handle = openSync(file, 'w');
  try {
    for (let at = 0; at < mib; at += 1) writeSync(handle, Buffer.alloc(MIB, 'x'));
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
