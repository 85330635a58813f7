/** One process per daemon and run directory: each holds a lock for as long as it lives, however it ends. */
import path from 'node:path';
import { isThere } from '../linux/directories.ts';
import { lockFile } from '../linux/file-lock.ts';
import { SluiceError } from '../model/errors.ts';
import type { Daemon, Places } from './places.ts';

type RunDir = Pick<Places, 'runDir'>;

export function daemonLockOf({ runDir }: RunDir, daemon: Daemon): string {
  return path.join(runDir, `${daemon}.lock`);
}

/** @throws SluiceError `already_exists` while another process of this kind lives, also one that is about to end */
export function lockDaemon(places: RunDir, daemon: Daemon): Disposable {
  const lock = lockFile(daemonLockOf(places, daemon));
  if (lock !== undefined) return lock;
  throw new SluiceError(
    'already_exists',
    `another ${daemon} runs in ${places.runDir}`,
    'stop it first, or choose another SLUICE_RUN_DIR',
  );
}

/** A socket goes before its daemon does: only the lock tells that it is gone. */
export function daemonRuns(places: RunDir, daemon: Daemon): boolean {
  const file = daemonLockOf(places, daemon);
  if (!isThere(file)) return false;
  using lock = lockFile(file);
  return lock === undefined;
}
