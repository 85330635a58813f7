/** What `sluice down` and `sluice uninstall` take away of shared volumes. */
import { pino } from 'pino';
import { isThere } from '../../linux/directories.ts';
import { loadConfig } from '../config.ts';
import type { Places } from '../places.ts';
import { poolOf } from '../storage-choice.ts';
import { translatorPieces } from '../translator-pieces.ts';

/** Mounts, clients, glusterd, bricks' mounts and devices; the data stays. @returns in words what was there */
export async function removeStorageOf(places: Places): Promise<readonly string[]> {
  const { storageStoreOf, storagePlaces } = await import('../../storaged/open-parts.ts');
  const there = [storageStoreOf(places), ...Object.values(storagePlaces(places))].some(isThere);
  if (!there) return [];
  const { storage } = await loadConfig(places);
  const { removeStorage } = await import('../../storaged/remove.ts');
  const { openSqliteStore } = await import('../../store/sqlite.ts');
  const store = openSqliteStore(storageStoreOf(places), { durability: 'normal' });
  try {
    const { removed } = await removeStorage(
      {
        ...{ places, storage, pool: poolOf(places, storage), translator: translatorPieces() },
        // Nothing is started any more, so that it makes no difference where it would listen.
        ...{ address: null, checkpoint: () => undefined, log: pino({ level: 'silent' }) },
      },
      store,
    );
    return removed;
  } finally {
    await store.close();
  }
}

/** What there may be of volumes in the kernel, in words: for `sluice down --dry-run`. */
export async function storageHere(places: Places): Promise<string[]> {
  const { storagePlaces } = await import('../../storaged/open-parts.ts');
  const { gluster } = storagePlaces(places);
  return isThere(gluster) ? ["mounts of volumes, their clients, glusterd, and bricks' devices"] : [];
}

/** The data of volumes that lies on this node, in words. */
export async function dataOf(places: Places): Promise<string[]> {
  const pool = poolOf(places, (await loadConfig(places)).storage);
  const { bricksIn } = await import('../../storaged/remove.ts');
  const count = bricksIn(pool).length;
  if (count === 0) return [];
  return [`the data of volumes in ${pool}: ${count === 1 ? 'one brick' : `${count} bricks`}`];
}

/** @returns in words what was there */
export async function removeDataOf(places: Places): Promise<readonly string[]> {
  const data = await dataOf(places);
  const { removeStorageData } = await import('../../storaged/remove.ts');
  removeStorageData(places, poolOf(places, (await loadConfig(places)).storage));
  return data;
}
