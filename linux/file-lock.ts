/** A lock that one process holds until it ends, however it ends (flock(2)). */
import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import koffi from 'koffi';
import { ensureDirectory } from './files.ts';

/** LOCK_EX | LOCK_NB (sys/file.h). */
const EXCLUSIVE_NOW = 2 | 4;

const flock = koffi.load('libc.so.6').func('int flock(int fd, int operation)');

/**
 * @param file  made (0600, with its directory) when missing; its content is not touched
 * @returns undefined when another process holds it
 */
export function lockFile(file: string): Disposable | undefined {
  ensureDirectory(path.dirname(file));
  const fd = openSync(file, 'a', 0o600);
  if (flock(fd, EXCLUSIVE_NOW) === 0) return { [Symbol.dispose]: () => closeSync(fd) };
  closeSync(fd);
  return undefined;
}
