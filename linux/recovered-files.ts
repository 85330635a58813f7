/** Reading a tree of files as it lies, and making files from parts of others: what recovery needs. Sources are never written to. */
import fs from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { setXattr, xattrsOf } from './xattrs.ts';

export interface TreeEntry {
  /** Relative to the root, without a slash at its beginning; the root itself is ''. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'link' | 'other';
  readonly bytes: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/** The root and everything below it, but what `skips` names, directories before what is in them. */
export function* walkTree(root: string, skips: (relative: string) => boolean): Generator<TreeEntry> {
  const waiting = [''];
  for (let relative = waiting.pop(); relative !== undefined; relative = waiting.pop()) {
    const file = path.join(root, relative);
    const stats = fs.lstatSync(file);
    yield { path: relative, kind: kindOf(stats), bytes: stats.size, xattrs: xattrsOf(file) };
    if (!stats.isDirectory()) continue;
    for (const name of fs.readdirSync(file)) {
      const child = relative === '' ? name : `${relative}/${name}`;
      if (!skips(child)) waiting.push(child);
    }
  }
}

function kindOf(stats: fs.Stats): TreeEntry['kind'] {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'link' : 'other';
}

/** Bytes at a place of a new file, from the beginning of another; copies beside it must hold the same. */
export interface Part {
  readonly source: string;
  readonly same: readonly string[];
  readonly at: number;
  readonly bytes: number;
}

const CHUNK = 4 * 2 ** 20;

/**
 * Makes a file from parts; what is zero is left as a hole. It is on disk when this returns.
 * @returns false, and no file, when copies of a part differ, or one is shorter than it should be
 */
export async function assembleFile(file: string, bytes: number, parts: readonly Part[]): Promise<boolean> {
  const made = await open(file, 'wx', 0o600);
  try {
    await made.truncate(bytes);
    for (const part of parts) {
      if (await copyPart(made, part)) continue;
      fs.rmSync(file);
      return false;
    }
    await made.sync();
    return true;
  } finally {
    await made.close();
  }
}

async function copyPart(made: FileHandle, { source, same, at, bytes }: Part): Promise<boolean> {
  const sources = await Promise.all([source, ...same].map((one) => open(one, 'r')));
  try {
    for (let done = 0; done < bytes; done += CHUNK) {
      const length = Math.min(CHUNK, bytes - done);
      const [first, ...others] = await Promise.all(sources.map((one) => readAt(one, done, length)));
      if (first === undefined || first.length < length) return false;
      if (!others.every((other) => other.equals(first))) return false;
      if (first.some((byte) => byte !== 0)) await made.write(first, 0, length, at + done);
    }
    return true;
  } finally {
    await Promise.all(sources.map((one) => one.close()));
  }
}

async function readAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(buffer, done, length - done, at + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return buffer.subarray(0, done);
}

export function copyLink(source: string, link: string): void {
  fs.symlinkSync(fs.readlinkSync(source), link);
}

export function hardLink(file: string, link: string): void {
  fs.linkSync(file, link);
}

/** A directory that is not there yet. @throws when it is */
export function makeDirectory(directory: string): void {
  fs.mkdirSync(directory, { mode: 0o700 });
}

/** A directory that its owner alone can enter, also one that was there before. */
export function makePrivate(directory: string): void {
  fs.mkdirSync(directory, { recursive: true });
  fs.chmodSync(directory, 0o700);
}

/** What users set themselves (xattr(7)), and access lists. */
const OWN_XATTR = /^(?:user\.|system\.posix_acl_)/;

/** Gives owner, mode, times and users' attributes of one file to another. */
export function makeAlike(source: string, file: string): void {
  const stats = fs.lstatSync(source);
  fs.lchownSync(file, stats.uid, stats.gid);
  if (stats.isSymbolicLink()) return;
  for (const [name, value] of xattrsOf(source)) if (OWN_XATTR.test(name)) setXattr(file, name, value);
  fs.chmodSync(file, stats.mode & 0o7777);
  fs.utimesSync(file, stats.atime, stats.mtime);
}
