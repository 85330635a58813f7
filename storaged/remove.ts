/** Takes away what storage has put up on this node: mounts, clients, glusterd, bricks' mounts and devices; and at the very end the data. */
import path from 'node:path';
import { namesIn, removeEmptyDirectory } from '../linux/directories.ts';
import { unmountBelow } from '../linux/mounts.ts';
import { removeTree } from '../linux/tree.ts';
import type { Store } from '../store/contract.ts';
import { isBrickName } from './bricks/records.ts';
import {
  glusterDaemon,
  hasMounts,
  type PartsOptions,
  type StoragePlaces,
  storagePlaces,
} from './open-parts.ts';

/**
 * storaged itself must have ended. May be repeated.
 * @returns in words what was there
 * @throws SluiceError of the first step that fails
 */
export async function removeStorage(
  options: PartsOptions,
  store: Store,
): Promise<{ readonly removed: readonly string[] }> {
  const removed: string[] = [];
  const mounts = await endMounts(options, store);
  if (mounts > 0) removed.push(mounts === 1 ? 'one mount of a volume' : `${mounts} mounts of volumes`);
  const { gluster, mounts: points } = storagePlaces(options.places);
  if (namesIn(gluster).length > 0) {
    const daemon = await glusterDaemon(options);
    await daemon.stop();
    removed.push('glusterd, with its bricks and their devices');
  }
  unmountBelow(points);
  removeTree(path.join(options.places.runDir, 'storage'));
  return { removed };
}

async function endMounts({ places }: PartsOptions, store: Store): Promise<number> {
  if (!(await hasMounts(store))) return 0;
  const { endAllMounts } = await import('./mounts/end-all.ts');
  const { mounts, clients } = storagePlaces(places);
  return endAllMounts({ hostDir: mounts, clientDir: clients }, store);
}

/** Bricks whose data lies in the pool, by name. */
export function bricksIn(pool: string): string[] {
  return namesIn(pool).filter(isBrickName);
}

/** What Gluster knew, and the bricks' images; a pool may hold what is not ours. `removeStorage` comes first. */
export function removeStorageData({ stateDir, runDir }: StoragePlaces, pool: string): void {
  for (const name of namesIn(pool).filter((one) => isBrickName(one.replace(/^gone-/, ''))))
    removeTree(path.join(pool, name));
  removeEmptyDirectory(pool);
  removeTree(storagePlaces({ stateDir, runDir }).gluster);
  removeEmptyDirectory(path.join(stateDir, 'storage'));
}
