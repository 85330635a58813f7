/** Files that file systems lie in: sparse ones, or ones whose room is taken at once; and what they take of it. */
import fs from 'node:fs';
import path from 'node:path';
import { runOk } from './process.ts';

/** Taking room is a matter of writing down extents; a disk that is busy may still keep it waiting. */
const TIMEOUT_MS = 120_000;
/** stat.h: st_blocks counts these, whatever the file system's blocks. */
const STAT_BLOCK = 512;

export interface ImageFile {
  readonly bytes: number;
  /** What it takes of the file system it lies in. */
  readonly takenBytes: number;
}

/** @returns undefined when there is no such file */
export function imageAt(file: string): ImageFile | undefined {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  return stat && { bytes: stat.size, takenBytes: stat.blocks * STAT_BLOCK };
}

/** Makes it longer, or new; what is added is a hole. It is never made shorter. */
export function extendImage(file: string, bytes: number): void {
  const fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
  try {
    if (fs.fstatSync(fd).size < bytes) fs.ftruncateSync(fd, bytes);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Makes it that long, or new, and takes room for all of it; what is in it stays. If there is no such room it is as long
 * as it was.
 * @throws SluiceError `program_failed`
 */
export async function reserveImage(file: string, bytes: number): Promise<void> {
  const before = imageAt(file)?.bytes ?? 0;
  try {
    await runOk(['fallocate', '--length', String(bytes), file], { timeoutMs: TIMEOUT_MS });
  } catch (error) {
    if (imageAt(file) !== undefined) fs.truncateSync(file, before);
    throw error;
  }
}

/** Gives the file its name once it is whole, also after a power cut. */
export function publishImage(half: string, whole: string): void {
  fs.renameSync(half, whole);
  const directory = fs.openSync(path.dirname(whole), 'r');
  try {
    fs.fsyncSync(directory);
  } finally {
    fs.closeSync(directory);
  }
}

/** Renames a directory; one that is not there is no error. What has the new name already goes. */
export function moveAway(directory: string, to: string): void {
  fs.rmSync(to, { recursive: true, force: true });
  if (fs.existsSync(directory)) publishImage(directory, to);
}

/** Removes a directory with what is in it; giving back the room of large files takes its time. */
export async function removeImages(directory: string): Promise<void> {
  await fs.promises.rm(directory, { recursive: true, force: true });
}

/** The file system that a directory lies in. */
export function roomBelow(directory: string): { readonly totalBytes: number; readonly freeBytes: number } {
  const { blocks, bavail, bsize } = fs.statfsSync(directory);
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
}
