/** The C library, for the few system calls that Node does not offer. */

import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { SluiceError } from '../model/errors.ts';

const libc = koffi.load('libc.so.6');

/** Values of <sched.h>, <sys/socket.h> and friends that we pass on. */
export const CLONE_NEWNET = 0x4000_0000;
export const CLONE_NEWNS = 0x2_0000;
export const CLONE_FS = 0x200;
export const AF_INET = 2;
export const AF_PACKET = 17;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2_000_000;
export const MSG_DONTWAIT = 0x40;
export const IPPROTO_ICMP = 1;

const EINTR = 4;
/** asm-generic/errno.h; Node has no names for all of them. */
const EISCONN = 106;
const EALREADY = 114;
const EINPROGRESS = 115;

type Bytes = Uint8Array;

const calls = {
  setns: libc.func('int setns(int fd, int nstype)'),
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  unshare: libc.func('int unshare(int flags)'),
  if_nametoindex: libc.func('uint32_t if_nametoindex(const char *name)'),
  connect: libc.func('int connect(int fd, const uint8_t *address, uint32_t length)'),
  recvfrom: libc.func(
    'intptr_t recvfrom(int fd, _Out_ uint8_t *data, uintptr_t length, int flags, _Out_ uint8_t *address, _Inout_ uint32_t *addressLength)',
  ),
  bind: libc.func('int bind(int fd, const uint8_t *address, uint32_t length)'),
  sendto: libc.func(
    'intptr_t sendto(int fd, const uint8_t *data, uintptr_t length, int flags, const uint8_t *address, uint32_t addressLength)',
  ),
  recv: libc.func('intptr_t recv(int fd, _Out_ uint8_t *data, uintptr_t length, int flags)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)'),
  ioctl: libc.func('int ioctl(int fd, unsigned long request, uintptr_t argument)'),
  mount: libc.func(
    'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
  ),
  umount2: libc.func('int umount2(const char *target, int flags)'),
  prctl: libc.func('int prctl(int option, unsigned long argument)'),
  // By number: glibc has functions for them only since 2.36.
  open_tree: libc.func('syscall', 'long', ['long', 'int', 'str', 'unsigned int']),
  move_mount: libc.func('syscall', 'long', ['long', 'int', 'str', 'int', 'str', 'unsigned int']),
} as const;

/** A libc failure that the caller may tell apart by its symbolic errno, such as 'EAGAIN'. */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError';
  readonly errno: string;
  constructor(call: string, errno: string) {
    super(`${call}: ${errno}`);
    this.errno = errno;
  }
}

/** The symbolic name of the last call's errno. Read it before anything else runs. */
function lastErrno(): number {
  return koffi.errno();
}

function checked(call: string, run: () => number): number {
  for (;;) {
    const result = run();
    if (result >= 0) return result;
    const errno = lastErrno();
    if (errno !== EINTR) throw new SystemCallError(call, getSystemErrorName(-errno));
  }
}

export function setns(fd: number, type: number): void {
  checked('setns', () => calls.setns(fd, type));
}

/** linux/prctl.h */
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

/** The calling process is killed when the thread that has started it ends; one that has ended before does not count. */
export function endWithParent(): void {
  checked('prctl', () => calls.prctl(PR_SET_PDEATHSIG, SIGKILL));
}

/** Moves the calling thread into a new namespace. */
export function unshare(flags: number): void {
  checked('unshare', () => calls.unshare(flags));
}

/** @returns a file descriptor that the caller closes. */
export function socket(domain: number, type: number, protocol: number): number {
  return checked('socket', () => calls.socket(domain, type, protocol));
}

export function bind(fd: number, address: Bytes): void {
  checked('bind', () => calls.bind(fd, address, address.length));
}

/** @returns how many bytes went out. */
export function sendto(fd: number, data: Bytes, flags: number, address: Bytes | null): number {
  return checked('sendto', () => calls.sendto(fd, data, data.length, flags, address, address?.length ?? 0));
}

/** @returns how many bytes came in, or undefined when nothing is waiting (with MSG_DONTWAIT). */
export function receive(fd: number, into: Bytes, flags: number): number | undefined {
  try {
    return checked('recv', () => calls.recv(fd, into, into.length, flags));
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === 'EAGAIN') return undefined;
    throw error;
  }
}

/** As `receive`, and writes where it came from into `sender` (a struct sockaddr of the socket's family). */
export function receiveFrom(fd: number, into: Bytes, flags: number, sender: Bytes): number | undefined {
  try {
    return checked('recvfrom', () => calls.recvfrom(fd, into, into.length, flags, sender, [sender.length]));
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === 'EAGAIN') return undefined;
    throw error;
  }
}

/** @returns whether the socket is connected; false while one that does not block is still at it, and may be asked again. */
export function connect(fd: number, address: Bytes): boolean {
  if (calls.connect(fd, address, address.length) === 0) return true;
  const errno = lastErrno();
  if (errno === EISCONN) return true;
  if (errno === EINPROGRESS || errno === EALREADY || errno === EINTR) return false;
  throw new SystemCallError('connect', getSystemErrorName(-errno));
}

/** @returns the interface's number in the current network namespace, or undefined when there is none. */
export function interfaceIndex(name: string): number | undefined {
  return calls.if_nametoindex(name) || undefined;
}

export function setsockopt(fd: number, level: number, name: number, value: Bytes): void {
  checked('setsockopt', () => calls.setsockopt(fd, level, name, value, value.length));
}

export function ioctl(fd: number, request: number, argument: number): number {
  return checked('ioctl', () => calls.ioctl(fd, request, argument));
}

/** @throws SluiceError `kernel_refused` naming the target. */
export function mount(source: string, target: string, type: string, flags: number, data: string): void {
  refused(`mount ${type} on ${target}`, () => calls.mount(source, target, type, flags, data));
}

/** asm-generic/unistd.h: the same on x86_64 and aarch64. */
const SYS_OPEN_TREE = 428;
const SYS_MOVE_MOUNT = 429;
const AT_FDCWD = -100;
/** linux/mount.h; O_CLOEXEC as above. */
const OPEN_TREE_CLONE = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

/**
 * A copy of the mount at a path, attached nowhere yet.
 * @returns a file descriptor that the caller closes; the copy goes with it, unless it was attached
 * @throws SluiceError `kernel_refused` naming the path
 */
export function cloneMount(path: string): number {
  const flags = OPEN_TREE_CLONE | SOCK_CLOEXEC;
  return refused(`copy the mount of ${path}`, () => calls.open_tree(SYS_OPEN_TREE, AT_FDCWD, path, flags));
}

/** Attaches such a copy in the calling thread's mount namespace. @throws SluiceError `kernel_refused` */
export function attachMount(tree: number, target: string): void {
  refused(`mount on ${target}`, () =>
    calls.move_mount(SYS_MOVE_MOUNT, tree, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH),
  );
}

/** @throws SluiceError `kernel_refused` naming the target. */
export function unmount(target: string, flags: number): void {
  refused(`unmount ${target}`, () => calls.umount2(target, flags));
}

function refused(what: string, run: () => number): number {
  try {
    return checked(what, run);
  } catch (error) {
    throw new SluiceError(
      'kernel_refused',
      `the kernel refused to ${String(error)}`,
      'sluice needs root with CAP_SYS_ADMIN',
      { cause: error },
    );
  }
}
