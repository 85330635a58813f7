/**
 * Mounting by open descriptors: where a path leads is decided once, without symbolic links, and nobody who renames or
 * replaces directories meanwhile can make it another place.
 */
import { closeSync, constants, readFileSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { SluiceError } from '../model/errors.ts';
import { SystemCallError } from './libc.ts';

const libc = koffi.load('libc.so.6');

/** asm-generic/unistd.h: the same on x86_64 and aarch64; glibc has functions for few of them. */
const SYS = { openTree: 428, moveMount: 429, openat2: 437, mountSetattr: 442 } as const;

const calls = {
  openTree: libc.func('syscall', 'long', ['long', 'int', 'str', 'unsigned int']),
  moveMount: libc.func('syscall', 'long', ['long', 'int', 'str', 'int', 'str', 'unsigned int']),
  openat2: libc.func('syscall', 'long', ['long', 'int', 'str', 'uint8_t *', 'uintptr_t']),
  mountSetattr: libc.func('syscall', 'long', [
    'long',
    'int',
    'str',
    'unsigned int',
    'uint8_t *',
    'uintptr_t',
  ]),
  openat: libc.func('int openat(int fd, const char *path, int flags)'),
  mkdirat: libc.func('int mkdirat(int fd, const char *path, unsigned int mode)'),
  unlinkat: libc.func('int unlinkat(int fd, const char *path, int flags)'),
  fchdir: libc.func('int fchdir(int fd)'),
  umount2: libc.func('int umount2(const char *target, int flags)'),
} as const;

/** fcntl.h; Node has no name for these. */
export const O_PATH = 0o10_000_000;
const O_CLOEXEC = 0o2_000_000;
const AT_EMPTY_PATH = 0x1000;
const AT_REMOVEDIR = 0x200;
/** linux/mount.h */
const OPEN_TREE_CLONE = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;
const MOUNT_ATTR_RDONLY = 1;
const MOUNT_ATTR_NOSUID = 2;
const MOUNT_ATTR_NODEV = 4;
/** linux/openat2.h */
const RESOLVE_NO_SYMLINKS = 4;
const RESOLVE_IN_ROOT = 0x10;
/** sys/mount.h */
const MNT_DETACH = 2;

/** The kernel asks to try again when something was renamed while it walked (openat2(2), EAGAIN). */
const TRIES = 128;
const DIRECTORY_MODE = 0o755;

function checked(what: string, result: number | bigint): number {
  const value = Number(result);
  if (value >= 0) return value;
  throw new SystemCallError(what, getSystemErrorName(-koffi.errno()));
}

function errnoOf(error: unknown): string | undefined {
  return error instanceof SystemCallError ? error.errno : undefined;
}

export interface OpenDirectory {
  /** For use with other calls of this file; whoever opened it closes it. */
  readonly fd: number;
  /** How many of its last components were missing and have been made. */
  readonly made: number;
}

/**
 * A directory below another that is taken for `/`; no component may be a symbolic link, and none leads out.
 * @param path  as model/volume.ts PathWithin has it
 * @param make  with each directory on the way that is missing, 0755
 * @throws SluiceError `refused` (a symbolic link, no directory), `not_found`, `kernel_refused`
 */
export function openDirectoryIn(root: number, path: string, make: boolean): OpenDirectory {
  try {
    return { fd: openPlain(root, path), made: 0 };
  } catch (error) {
    if (!make || errnoOf(error) !== 'ENOENT') throw explained(path, error);
  }
  try {
    return makeOnTheWay(root, path);
  } catch (error) {
    throw explained(path, error);
  }
}

function makeOnTheWay(root: number, path: string): OpenDirectory {
  let at = root;
  let made = 0;
  for (const part of path.split('/').slice(1)) {
    try {
      const next = openOrMake(at, part);
      made += next.made;
      if (at !== root) closeSync(at);
      at = next.fd;
    } catch (error) {
      if (at !== root) closeSync(at);
      throw error;
    }
  }
  return { fd: at, made };
}

function openOrMake(at: number, part: string): OpenDirectory {
  try {
    return { fd: openPlain(at, part), made: 0 };
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  try {
    checked(`make ${part}`, calls.mkdirat(at, part, DIRECTORY_MODE));
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error; // somebody was faster: whatever it is, it is looked at next
  }
  return { fd: openPlain(at, part), made: 1 };
}

function openPlain(at: number, path: string): number {
  // struct open_how: flags, mode, resolve; each of 64 bits.
  const how = new BigUint64Array([
    BigInt(O_PATH | O_CLOEXEC | constants.O_DIRECTORY | constants.O_NOFOLLOW),
    0n,
    BigInt(RESOLVE_NO_SYMLINKS | RESOLVE_IN_ROOT),
  ]);
  for (let left = TRIES; ; left--) {
    try {
      const bytes = new Uint8Array(how.buffer);
      return checked(`open ${path}`, calls.openat2(SYS.openat2, at, path, bytes, bytes.length));
    } catch (error) {
      if (left === 0 || !['EAGAIN', 'EINTR'].includes(errnoOf(error) ?? '')) throw error;
    }
  }
}

function explained(path: string, error: unknown): unknown {
  const errno = errnoOf(error);
  const refused = (why: string): SluiceError =>
    new SluiceError('refused', `${path} ${why}`, 'name a plain directory, or one that is not there yet');
  if (errno === 'ELOOP') return refused('leads through a symbolic link');
  if (errno === 'ENOTDIR') return refused('is no directory');
  if (errno === 'EROFS') return refused('is missing, and its file system is read-only');
  if (errno === 'ENOENT') return new SluiceError('not_found', `${path} is not there`, 'make it first');
  if (errno === undefined) return error;
  return new SluiceError('kernel_refused', `the kernel refused: ${String(error)}`, 'see dmesg', {
    cause: error,
  });
}

/**
 * Removes the last components of a path, as long as they are empty.
 * @param path   as for `openDirectoryIn`
 * @param count  of components, at most
 */
export function removeDirectoriesIn(root: number, path: string, count: number): void {
  let rest = path;
  for (let left = count; left > 0; left--) {
    const cut = rest.lastIndexOf('/');
    const parent = cut === 0 ? root : openDirectoryIn(root, rest.slice(0, cut), false).fd;
    try {
      if (calls.unlinkat(parent, rest.slice(cut + 1), AT_REMOVEDIR) !== 0) return;
    } finally {
      if (parent !== root) closeSync(parent);
    }
    rest = rest.slice(0, cut);
  }
}

export interface TreeOptions {
  readonly readOnly: boolean;
}

/**
 * A copy of the mount that a descriptor's directory lies in, with that directory as its root; attached nowhere yet.
 * Programs get no rights from its files, and its device files are dead.
 * @param directory  in the mount namespace of the calling thread
 */
export function copyTree(directory: number, { readOnly }: TreeOptions): number {
  const tree = orRefused('copy a mount', () =>
    calls.openTree(SYS.openTree, directory, '', OPEN_TREE_CLONE | AT_EMPTY_PATH | O_CLOEXEC),
  );
  // struct mount_attr: what is set, cleared, propagation, a user namespace; each of 64 bits.
  const set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (readOnly ? MOUNT_ATTR_RDONLY : 0);
  const attributes = new Uint8Array(new BigUint64Array([BigInt(set), 0n, 0n, 0n]).buffer);
  orRefused('set flags of a mount', () =>
    calls.mountSetattr(SYS.mountSetattr, tree, '', AT_EMPTY_PATH, attributes, attributes.length),
  );
  return tree;
}

/** @param directory  in the mount namespace of the calling thread; a mount on it is covered */
export function attachTree(tree: number, directory: number): void {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  orRefused('attach a mount', () => calls.moveMount(SYS.moveMount, tree, '', directory, '', flags));
}

/**
 * Which mount a descriptor lies in (proc_pid_fdinfo(5)).
 * @param proc  a descriptor of /proc as this process sees it at home: in another mount namespace it is another, or none
 */
export function mountIdOf(descriptor: number, proc: number): number {
  const [, id] = /^mnt_id:\s*(\d+)$/m.exec(readBelow(proc, `self/fdinfo/${descriptor}`)) ?? [];
  return Number(id);
}

/** The text of a file below a directory's descriptor, wherever the calling thread is. */
export function readBelow(directory: number, path: string): string {
  const file = orRefused(`open ${path}`, () => calls.openat(directory, path, constants.O_RDONLY | O_CLOEXEC));
  try {
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

/** Takes off the mount whose root a descriptor is, in the calling thread's mount namespace. @param proc  of home */
export function detachMount(descriptor: number, proc: number): void {
  orRefused('enter /proc', () => calls.fchdir(proc));
  orRefused('take a mount off', () => calls.umount2(`self/fd/${descriptor}`, MNT_DETACH));
}

function orRefused(what: string, call: () => number | bigint): number {
  try {
    return checked(what, call());
  } catch (error) {
    throw new SluiceError(
      'kernel_refused',
      `the kernel refused to ${String(error)}`,
      'sluice needs root with CAP_SYS_ADMIN, and Linux 5.12 or later',
      { cause: error },
    );
  }
}
