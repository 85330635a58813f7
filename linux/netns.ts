/** Work inside another network namespace, without disturbing anything else in this process. */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { SluiceError } from '../model/errors.ts';
import { CLONE_NEWNET, ioctl, setns, unshare } from './libc.ts';

/** ioctl that names the kind of a namespace (linux/nsfs.h). */
const NS_GET_NSTYPE = 0xb703;

/** An open network namespace: it lives at least until it is closed. */
export interface Netns extends Disposable {
  readonly fd: number;
  /** The inode number names the namespace for as long as it exists. */
  readonly inode: number;
  readonly path: string;
}

/** The namespace this process was started in, to come home to. */
const home = openSync('/proc/thread-self/ns/net', 'r');
export const ownNetnsInode = fstatSync(home).ino;

/**
 * Opens a namespace by path, such as /run/netns/n1 or /proc/4711/ns/net.
 * @throws SluiceError `netns_unusable` when there is none, or when it is not a network namespace.
 */
export function openNetns(path: string): Netns {
  const fd = openChecked(path);
  return {
    fd,
    path,
    inode: fstatSync(fd).ino,
    [Symbol.dispose]: () => closeSync(fd),
  };
}

/**
 * Makes an empty network namespace that lives until it is closed, or until this process ends.
 * Its path leads there from any process that sees this one's /proc.
 */
export function createNetns(): Netns {
  unshare(CLONE_NEWNET);
  try {
    const fd = openSync('/proc/thread-self/ns/net', 'r');
    return {
      fd,
      path: `/proc/${process.pid}/fd/${fd}`,
      inode: fstatSync(fd).ino,
      [Symbol.dispose]: () => closeSync(fd),
    };
  } finally {
    goHome();
  }
}

function openChecked(path: string): number {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    if (ioctl(fd, NS_GET_NSTYPE, 0) === CLONE_NEWNET) return fd;
    throw new Error('it is a namespace of another kind');
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    throw new SluiceError(
      'netns_unusable',
      `${JSON.stringify(path)} is not a network namespace: ${error instanceof Error ? error.message : String(error)}`,
      'the runtime must pass the path of a network namespace that exists (CNI_NETNS)',
      { cause: error },
    );
  }
}

/**
 * Runs a section with this thread inside the namespace. The section must be synchronous: only
 * so can nothing else of this process run on the thread before it is home again. Sockets and
 * /proc/sys files opened inside stay bound to the namespace and may be used afterwards.
 *
 * Nothing in the section may start a thread of libuv's pool: it would stay in the namespace.
 */
export function inNetns<T>(
  netns: Pick<Netns, 'fd'>,
  section: () => T extends PromiseLike<unknown> ? never : T,
): T {
  setns(netns.fd, CLONE_NEWNET);
  try {
    return section() as T;
  } finally {
    goHome();
  }
}

/** A thread that is lost in a tenant's namespace must not go on. */
function goHome(): void {
  try {
    setns(home, CLONE_NEWNET);
  } catch (error) {
    process.stderr.write(`cannot return to the own network namespace: ${String(error)}\n`);
    process.abort();
  }
}
