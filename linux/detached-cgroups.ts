/**
 * Control group hierarchies that are not to be seen where this process is: `ip netns exec` mounts a /sys of its own,
 * without them (ip-netns(8)). They are mounted once more, at no place of any file system, but on a descriptor of this
 * process, through which paths lead as through a folder. Nothing is left of it when the process ends.
 */
import { readFileSync } from 'node:fs';
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
/** The same on all architectures (asm-generic/unistd.h). */
const FSOPEN = 430;
const FSCONFIG = 431;
const FSMOUNT = 432;
const calls = {
  fsopen: libc.func('long syscall(long number, const char *type, unsigned int flags)'),
  fsconfig: libc.func(
    'long syscall(long number, int fd, unsigned int command, const char *key, const char *value, int aux)',
  ),
  fsmount: libc.func('long syscall(long number, int fd, unsigned int flags, unsigned int attributes)'),
  close: libc.func('int close(int fd)'),
} as const;

/** FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC (linux/mount.h). */
const CLOEXEC = 1;
const SET_FLAG = 0;
const SET_STRING = 1;
const CREATE = 6;

/** As a line of mountinfo would have it. */
export interface DetachedHierarchy {
  readonly version: 1 | 2;
  readonly mountPoint: string;
  readonly mountRoot: '/';
  readonly names: readonly string[];
}

let opened: readonly DetachedHierarchy[] | undefined;

/** Those that the kernel has (/proc/self/cgroup); one that it refuses is left out. The same ones at every call. */
export function detachedHierarchies(): readonly DetachedHierarchy[] {
  opened ??= readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .flatMap((line): DetachedHierarchy[] => {
      const [, number, names] = /^(\d+):([^:]*):\//.exec(line) ?? [];
      if (number === undefined || names === undefined) return [];
      const version = names === '' ? 2 : 1;
      const controllers = names === '' ? [] : names.split(',');
      const fd = mountDetached(version, controllers);
      if (fd === undefined) return [];
      return [{ version, mountPoint: `/proc/self/fd/${fd}`, mountRoot: '/', names: controllers }];
    });
  return opened;
}

/** @param names  controllers of v1, or `name=…` of a hierarchy without any */
function mountDetached(version: 1 | 2, names: readonly string[]): number | undefined {
  const context = checked(calls.fsopen(FSOPEN, version === 2 ? 'cgroup2' : 'cgroup', CLOEXEC));
  if (context === undefined) return undefined;
  try {
    for (const name of names) {
      const [key = '', value] = name.split('=');
      const command = value === undefined ? SET_FLAG : SET_STRING;
      if (checked(calls.fsconfig(FSCONFIG, context, command, key, value ?? null, 0)) === undefined)
        return undefined;
    }
    if (checked(calls.fsconfig(FSCONFIG, context, CREATE, null, null, 0)) === undefined) return undefined;
    return checked(calls.fsmount(FSMOUNT, context, CLOEXEC, 0));
  } finally {
    calls.close(context);
  }
}

/** What the kernel refuses, an old one or one that forbids it, is not to be had. */
function checked(result: number | bigint): number | undefined {
  return Number(result) < 0 ? undefined : Number(result);
}
