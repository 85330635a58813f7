/** Files and folders of control groups: small texts, read and written whole; and which processes are in a group. */
import { closeSync, constants, lstatSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { SluiceError } from '../model/errors.ts';

/** Truncating does nothing to the kernel's files; a test's tree needs it. Nothing is ever created. */
const WRITE = constants.O_WRONLY | constants.O_TRUNC | constants.O_NOFOLLOW;

const GONE: readonly (string | undefined)[] = ['ENOENT', 'ENODEV', 'ESRCH', 'ENOTDIR'];

/** A file that cannot be written, with what the kernel said, such as EBUSY. */
export class WriteError extends Error {
  override readonly name = 'WriteError';
  readonly errno: string;
  constructor(file: string, text: string, errno: string) {
    super(`${file} does not take ${JSON.stringify(text)}: ${errno}`);
    this.errno = errno;
  }
}

/** @returns undefined when there is no such file, or its group has just gone */
export function textOf(directory: string, file: string): string | undefined {
  try {
    return readFileSync(`${directory}/${file}`, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // EOPNOTSUPP: a file that is there and has no answer here, such as one of the root group.
    if (GONE.includes(code) || code === 'EOPNOTSUPP') return undefined;
    throw error;
  }
}

/** At once; for files whose writing does not wait for anything. @throws WriteError */
export function writeText(directory: string, file: string, text: string): void {
  try {
    const handle = openSync(`${directory}/${file}`, WRITE);
    try {
      writeSync(handle, text);
    } finally {
      closeSync(handle);
    }
  } catch (error) {
    throw failure(directory, file, text, error);
  }
}

/** In a thread beside ours, for files whose writing may wait for memory to be reclaimed. @throws WriteError */
export async function writeTextSlowly(directory: string, file: string, text: string): Promise<void> {
  try {
    const handle = await open(`${directory}/${file}`, WRITE);
    try {
      await handle.write(text);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw failure(directory, file, text, error);
  }
}

function failure(directory: string, file: string, text: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined ? error : new WriteError(`${directory}/${file}`, text, code);
}

export function hasFile(directory: string, file: string): boolean {
  return lstatSync(`${directory}/${file}`, { throwIfNoEntry: false })?.isFile() ?? false;
}

/**
 * The folder of a group, reached step by step and through no symbolic link.
 * @param path  from the mount point, beginning with '/'
 * @returns undefined when there is none, or the path climbs
 */
export function groupDirectory(mountPoint: string, path: string): string | undefined {
  let directory = mountPoint;
  for (const name of path.split('/').filter((part) => part !== '')) {
    if (name === '.' || name === '..') return undefined;
    directory = `${directory}/${name}`;
    if (!isFolder(directory)) return undefined;
  }
  return directory;
}

export function isFolder(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  } catch {
    return false; // a name that is too long, or a file on the way
  }
}

/** The groups right below it. */
export function childrenOf(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => `${directory}/${entry.name}`);
  } catch (error) {
    if (GONE.includes((error as NodeJS.ErrnoException).code)) return [];
    throw error;
  }
}

/** The group and all below it, parents first. */
export function subtreeOf(directory: string): string[] {
  return [directory, ...childrenOf(directory).flatMap(subtreeOf)];
}

/** Processes in the group and all below it. */
export function processesIn(directory: string): number[] {
  return subtreeOf(directory).flatMap((one) => {
    const text = textOf(one, 'cgroup.procs') ?? '';
    // 0 stands for a process that our process namespace does not show.
    return text
      .split('\n')
      .map(Number)
      .filter((pid) => pid > 0);
  });
}

/** What a group's folder that has vanished is to whoever asked. */
export function groupGone(path: string): SluiceError {
  return new SluiceError(
    'not_found',
    `the control group ${path} is gone`,
    'its container has ended, or is being made anew',
  );
}
