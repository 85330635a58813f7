/** A network namespace for one try-out: it has no name, and ends with the last socket that was opened in it. */
import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { SluiceError } from '../model/errors.ts';
import { CLONE_NEWNET, setns } from './libc.ts';

const unshare = koffi.load('libc.so.6').func('int unshare(int flags)');

/**
 * Runs a synchronous section with this thread in a fresh namespace; sockets opened inside stay bound to it.
 * As with `inNetns`, nothing in the section may start a thread.
 *
 * @throws SluiceError `kernel_refused` when there is no privilege for it
 */
export function inScratchNetns<T>(section: () => T extends PromiseLike<unknown> ? never : T): T {
  const home = openSync('/proc/thread-self/ns/net', 'r');
  try {
    if (unshare(CLONE_NEWNET) !== 0) throw refused();
    try {
      return section() as T;
    } finally {
      setns(home, CLONE_NEWNET);
    }
  } finally {
    closeSync(home);
  }
}

function refused(): SluiceError {
  return new SluiceError(
    'kernel_refused',
    'the kernel refused a new network namespace',
    'sluice needs root with CAP_SYS_ADMIN',
  );
}
