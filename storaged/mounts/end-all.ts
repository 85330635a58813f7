/** Takes all mounts of a node off, and ends their clients, when there is no storaged that keeps them. */
import { endClient, findClients } from '../../linux/gluster-client.ts';
import { unmountBelow } from '../../linux/mounts.ts';
import { removeTree } from '../../linux/tree.ts';
import type { Store } from '../../store/contract.ts';
import { detachMount } from './client.ts';
import { clientPlace, type MountPlaces, SOURCE_PREFIX } from './names.ts';
import { openMountRecords } from './records.ts';

/**
 * Nothing is started for it, and what cannot be taken off in a container does not keep the rest. May be repeated.
 * @returns how many mounts there were
 * @throws SluiceError `store_failed`, `kernel_refused`, `program_failed` (a client that outlives SIGKILL)
 */
export async function endAllMounts(places: MountPlaces, store: Store): Promise<number> {
  const records = await openMountRecords(store);
  const all = [...records.mounts];
  for (const [id, kept] of all)
    await detachMount(places, clientPlace(places, kept.client).source, id, kept).catch(() => undefined);
  const found = findClients((source) => source.startsWith(SOURCE_PREFIX));
  const ours = found.filter(({ root }) => root.startsWith(`${places.clientDir}/`));
  await Promise.all(ours.map(({ id }) => endClient(id)));
  unmountBelow(places.hostDir);
  for (const directory of [places.hostDir, places.clientDir]) removeTree(directory);
  for (const [id] of all) await records.remove(id);
  return all.length;
}
