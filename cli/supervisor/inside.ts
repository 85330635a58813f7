/** Runs a command again inside the namespaces of the node it is about. */
import path from 'node:path';
import { runAttached } from '../../linux/child.ts';
import { namespaceInode } from '../../linux/directories.ts';
import { isAlive } from '../../linux/process.ts';
import type { Places } from '../places.ts';
import { ROOT } from '../version.ts';
import type { UpRecord } from './up-file.ts';

/**
 * A node lives in network and mount namespaces of its own where `up` was started in such: the work must be done there.
 *
 * @param args  of this command
 * @returns the exit code of this very command, run again inside; undefined when we are inside already
 */
export async function runInsideNode(
  record: UpRecord | undefined,
  places: Places,
  args: readonly string[],
): Promise<number | undefined> {
  if (record === undefined || !isAlive(record) || isInside(record)) return undefined;
  const namespaces = ['--target', String(record.pid), '--net', '--mount'];
  const self = [process.execPath, ...process.execArgv, path.join(ROOT, 'cli', 'main.ts'), ...args];
  // Absolute, because the working directory is another one inside.
  return runAttached('nsenter', [...namespaces, '--', ...self], {
    ...process.env,
    SLUICE_RUN_DIR: places.runDir,
    SLUICE_STATE_DIR: places.stateDir,
  });
}

function isInside({ pid }: UpRecord): boolean {
  return (['net', 'mnt'] as const).every(
    (kind) => namespaceInode(`/proc/${pid}/ns/${kind}`) === namespaceInode(`/proc/self/ns/${kind}`),
  );
}
