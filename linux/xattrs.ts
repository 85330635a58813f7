/** Extended attributes of files (xattr(7)), without following symbolic links. */
import koffi from 'koffi';
import { SluiceError } from '../model/errors.ts';

const libc = koffi.load('libc.so.6');
const llistxattr = libc.func('intptr_t llistxattr(const char *path, _Out_ uint8_t *list, uintptr_t size)');
const lgetxattr = libc.func(
  'intptr_t lgetxattr(const char *path, const char *name, _Out_ uint8_t *value, uintptr_t size)',
);

/** linux/limits.h: XATTR_LIST_MAX, XATTR_SIZE_MAX. */
const LARGEST = 65_536;
const room = new Uint8Array(LARGEST);

/** @throws SluiceError `kernel_refused` naming the file */
export function xattrsOf(path: string): ReadonlyMap<string, Buffer> {
  const length = checked(path, llistxattr(path, room, LARGEST));
  const names = Buffer.from(room.subarray(0, length)).toString().split('\0').slice(0, -1);
  return new Map(
    names.map((name) => {
      const size = checked(`${path} (${name})`, lgetxattr(path, name, room, LARGEST));
      return [name, Buffer.from(room.subarray(0, size))];
    }),
  );
}

function checked(what: string, length: number): number {
  if (length >= 0) return length;
  throw new SluiceError(
    'kernel_refused',
    `the attributes of ${what} cannot be read: error ${koffi.errno()}`,
    'trusted attributes are read by root with CAP_SYS_ADMIN alone',
  );
}

const lsetxattr = libc.func(
  'int lsetxattr(const char *path, const char *name, const uint8_t *value, uintptr_t size, int flags)',
);

/** @throws SluiceError `kernel_refused` naming the file */
export function setXattr(path: string, name: string, value: Uint8Array): void {
  checked(`${path} (${name})`, lsetxattr(path, name, value, value.length, 0));
}
