/**
 * Mount points of ours that containers bind. Each is a mount of its own that shares what is mounted on it with whoever
 * has bound it, and nothing of that goes anywhere else.
 */
import { rmdirSync } from 'node:fs';
import { ensureDirectory } from './files.ts';
import { mount, unmount } from './libc.ts';
import { type Mount, mountsOf } from './mount-table.ts';
import { mountsBelow, unmountBelow } from './mounts.ts';
import { removeTree } from './tree.ts';

/** sys/mount.h */
const MS_RDONLY = 1;
const MS_REMOUNT = 32;
const MS_BIND = 0x1000;
const MS_PRIVATE = 0x4_0000;
const MS_SHARED = 0x10_0000;

/** What is mounted at a point, lowest first. */
export function layersAt(point: string): Mount[] {
  return mountsOf('self').filter((one) => one.point === point);
}

/** A directory that is its own mount, so that mounts in it are nobody else's. May be repeated. */
export function ensurePrivateDirectory(directory: string): void {
  if (layersAt(directory).length > 0) return;
  ensureDirectory(directory);
  bindToItself(directory, MS_PRIVATE);
}

/** May be repeated. @param point  in such a directory */
export function ensureSharedPoint(point: string): void {
  // Where something is mounted nothing is asked of it: its server may be dead, or hang.
  const [base] = layersAt(point);
  if (base?.shared === true) return;
  if (base === undefined) {
    ensureDirectory(point);
    bindToItself(point, MS_SHARED);
    // Whoever writes while nothing is mounted on it gets an error, and leaves nothing here.
    mount('none', point, '', MS_REMOUNT | MS_BIND | MS_RDONLY, '');
  } else mount('none', point, '', MS_SHARED, '');
}

function bindToItself(directory: string, propagation: number): void {
  mount(directory, directory, '', MS_BIND, '');
  mount('none', directory, '', propagation, '');
}

/** MNT_DETACH and UMOUNT_NOFOLLOW (sys/mount.h) */
const TAKE_OFF = 2 | 8;

/** Takes the topmost mount off, here and where it is shared. */
export function uncover(point: string): void {
  unmount(point, TAKE_OFF);
}

/** With everything on it, also while somebody is in it; one that is not there is no error. */
export function removePoint(point: string): void {
  unmountBelow(point);
  try {
    rmdirSync(point);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    // Somebody of this machine has written there in the moment before. With a mount in it, it would be a volume's data.
    if (code !== 'ENOTEMPTY' || mountsBelow(point).length > 0) throw error;
    removeTree(point);
  }
}
