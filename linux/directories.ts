/** Files and directories as they lie: what is there, how it may be used, how much room is left; and taking them away. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Also true for sockets, and for links that lead nowhere. */
export function isThere(file: string): boolean {
  return fs.lstatSync(file, { throwIfNoEntry: false }) !== undefined;
}

/**
 * A path without symbolic links, as the kernel's lists have it: of mounts, of what loop devices show. What is not there
 * yet is taken for what will be made.
 */
export function realPath(file: string): string {
  try {
    return fs.realpathSync(file);
  } catch (error) {
    const parent = path.dirname(file);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === file) return file;
    return path.join(realPath(parent), path.basename(file));
  }
}

/** @returns the names in it, sorted; none when there is no such directory. */
export function namesIn(directory: string): string[] {
  return isThere(directory) ? fs.readdirSync(directory).sort() : [];
}

/** @returns the permission bits and the owner, undefined when it is not there. */
export function accessOf(file: string): { readonly mode: number; readonly uid: number } | undefined {
  const stat = fs.lstatSync(file, { throwIfNoEntry: false });
  return stat && { mode: stat.mode & 0o7777, uid: stat.uid };
}

/** Bytes and files that still fit into the file system of the nearest directory that is there. */
export function roomAt(directory: string): { readonly bytes: number; readonly files: number } {
  let nearest = directory;
  while (!isThere(nearest)) nearest = nearest.slice(0, nearest.lastIndexOf('/')) || '/';
  const { bavail, bsize, ffree, files } = fs.statfsSync(nearest);
  // File systems without a fixed number of inodes report none at all.
  return { bytes: bavail * bsize, files: files === 0 ? Number.POSITIVE_INFINITY : ffree };
}

/** @returns false when it was not there. */
export function removeFile(file: string): boolean {
  const was = isThere(file);
  fs.rmSync(file, { force: true });
  return was;
}

/** @returns false when it is not there or holds something. */
export function removeEmptyDirectory(directory: string): boolean {
  try {
    fs.rmdirSync(directory);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTEMPTY' || code === 'EBUSY') return false;
    throw error;
  }
}

/** @returns the number that names a namespace, such as /proc/PID/ns/net; undefined when it cannot be read. */
export function namespaceInode(path: string): number | undefined {
  return fs.statSync(path, { throwIfNoEntry: false })?.ino;
}

/** Makes a directory that nobody else has, for files that are soon taken away. @param name  the first part of its name */
export function makeScratchDirectory(name: string): string {
  return fs.mkdtempSync(path.join(os.tmpdir(), `${name}-`));
}
