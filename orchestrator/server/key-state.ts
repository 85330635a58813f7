/** The cluster's keys as the server keeps them: a master key, and which generations derived from it are in use. */

import { SluiceError } from '../../model/errors.ts';
import { type ClusterKey, ClusterKeys, epochOf, type KeyGeneration } from '../../model/keys.ts';
import type { Store } from '../../store/contract.ts';
import { deriveKey, MasterKey, newMasterKey } from './derive-key.ts';
import { mustRead, PATHS, read, records } from './layout.ts';
import { firstRotation, Rotation } from './rotation-plan.ts';
import type { Random } from './secrets.ts';

/**
 * Makes the master key and the first generation where there are none. A cluster that has a random key from before
 * goes on with it, as the generation of its number, until the next change of keys.
 *
 * @throws SluiceError `store_failed`
 */
export async function openKeys(store: Store, random: Random, now: number): Promise<void> {
  const former = await read(store, PATHS.formerKeys, ClusterKeys);
  // Epoch 0 stands for 256, because generations begin with 1.
  const first = (former?.current || (former === undefined ? 1 : 256)) as KeyGeneration;
  await store.txn({
    compare: [{ key: PATHS.masterKey, revision: 0 }],
    put: [
      { key: PATHS.masterKey, value: newMasterKey(random) },
      { key: PATHS.rotation, value: firstRotation(first, now) },
    ],
  });
}

export interface StoredRotation {
  readonly rotation: Rotation;
  /** Of its record, to compare with. */
  readonly revision: number;
}

/** @throws SluiceError `store_failed` */
export async function readRotation(store: Store): Promise<StoredRotation> {
  const revision = (await store.get(PATHS.rotation))?.revision ?? 0;
  return { rotation: await mustRead(store, PATHS.rotation, Rotation, 'rotation of keys'), revision };
}

/**
 * What nodes are told now, all of it read at one moment.
 * @throws SluiceError `store_failed`
 */
export async function keysToTell(
  store: Store,
): Promise<{ readonly keys: ClusterKeys; readonly revision: number }> {
  const page = await store.list(PATHS.keys);
  const [master] = records(page, PATHS.masterKey, MasterKey);
  const [rotation] = records(page, PATHS.rotation, Rotation);
  const [former] = records(page, PATHS.formerKeys, ClusterKeys);
  if (master === undefined || rotation === undefined) throw notMade();
  const keyOf = (generation: KeyGeneration): ClusterKey =>
    formerKey(former, generation) ?? deriveKey(master, generation);
  const keys: ClusterKeys = {
    current: epochOf(rotation.current),
    keys: rotation.accepted.map(({ generation }) => keyOf(generation)),
  };
  return { keys, revision: page.revision };
}

function formerKey(former: ClusterKeys | undefined, generation: KeyGeneration): ClusterKey | undefined {
  if (former === undefined || generation > (former.current || 256)) return undefined;
  return former.keys.find(({ epoch }) => epoch === epochOf(generation));
}

/** Whether the keys of before are in use no more. */
export function endsFormerKeys({ phase }: Rotation): boolean {
  return phase === 'steady';
}

function notMade(): SluiceError {
  return new SluiceError('store_failed', 'the cluster has no keys', 'restore server.sqlite from a backup');
}
