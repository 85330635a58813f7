/** Small files of ours: read if there, written whole or not at all, private unless said otherwise. */
import fs from 'node:fs';
import path from 'node:path';

/** @param mode  of the directories that have to be made; one that exists keeps its own */
export function ensureDirectory(directory: string, mode = 0o700): void {
  fs.mkdirSync(directory, { recursive: true, mode });
}

/** @returns the text (UTF-8), or undefined when there is no such file. */
export function readTextIfThere(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Replaces the file in one step: whoever reads sees the old content or the new, also after a power cut.
 * @param mode  of the file, whatever mode an earlier one had
 */
export function writeAtomically(file: string, content: string | Uint8Array, mode = 0o600): void {
  ensureDirectory(path.dirname(file));
  const fresh = `${file}.${process.pid}.new`;
  fs.rmSync(fresh, { force: true });
  try {
    fs.writeFileSync(fresh, content, { flag: 'wx', mode, flush: true });
    // The umask may have narrowed the mode.
    fs.chmodSync(fresh, mode);
    fs.renameSync(fresh, file);
  } catch (error) {
    fs.rmSync(fresh, { force: true });
    throw error;
  }
  syncDirectory(path.dirname(file));
}

/** Makes a file that is all zeros and takes no room until it is written to. */
export function makeSparseFile(file: string, bytes: number): void {
  fs.writeFileSync(file, '', { flag: 'wx', mode: 0o600 });
  fs.truncateSync(file, bytes);
}

/** Removes the file; one that is not there is no error. */
export function removeIfThere(file: string): void {
  fs.rmSync(file, { force: true });
}

/** Puts a copy in its place in one step; one with the same content is left as it is. @param mode  of the copy */
export function copyAtomically(source: string, copy: string, mode = 0o600): void {
  const content = fs.readFileSync(source);
  if (!(fs.existsSync(copy) && fs.readFileSync(copy).equals(content))) writeAtomically(copy, content, mode);
}

/** Makes a symbolic link, or leads the one that is there to another file. */
export function linkAtomically(target: string, link: string): void {
  ensureDirectory(path.dirname(link));
  if (fs.lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() && fs.readlinkSync(link) === target)
    return;
  const fresh = `${link}.${process.pid}.new`;
  fs.rmSync(fresh, { force: true });
  fs.symlinkSync(target, fresh);
  fs.renameSync(fresh, link);
}

/** Empties a log that has grown beyond a size, keeping its last part beside it; whoever writes to it must append. */
export function trimFile(file: string, bytes: number): void {
  const found = fs.statSync(file, { throwIfNoEntry: false });
  if (found === undefined || !found.isFile() || found.size <= bytes) return;
  fs.copyFileSync(file, `${file}.old`);
  fs.truncateSync(file, 0);
}

/** A rename is on disk only when its directory is (fsync(2), NOTES). */
function syncDirectory(directory: string): void {
  const handle = fs.openSync(directory, 'r');
  try {
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}
