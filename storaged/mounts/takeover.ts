/** After a start: adopts what lives, undoes what was begun, and takes away what nobody knows of. */
import { namesIn } from '../../linux/directories.ts';
import { type ClientProcess, endClient, findClients, removeClientFiles } from '../../linux/gluster-client.ts';
import { removePoint } from '../../linux/host-points.ts';
import { clientPlace, isClientId, type MountPlaces, SOURCE_PREFIX } from './names.ts';
import type { MountRecords } from './records.ts';
import type { Watched, WatchedClients } from './watched.ts';
import type { MountWork } from './work.ts';

export interface Takeover {
  readonly places: MountPlaces;
  readonly records: MountRecords;
  readonly clients: WatchedClients;
  readonly work: MountWork;
}

export async function takeOver({ places, records, clients, work }: Takeover): Promise<void> {
  const found = findClients((source) => source.startsWith(SOURCE_PREFIX));
  const adopted = new Set<ClientProcess>();
  for (const [id, { volume }] of records.clients) {
    const { client } = clients.of(id, volume);
    const process = found.find(({ source, live }) => source === client.place.source && live !== undefined);
    if (process?.live === undefined) continue;
    client.adopt(process.live);
    adopted.add(process);
  }
  // Ours by their place: on no record, or whoever started them died before they were up.
  const strays = found.filter((one) => !adopted.has(one) && one.root.startsWith(`${places.clientDir}/`));
  await Promise.all(strays.map(({ id }) => endClient(id)));
  removeUnknown(places, records);
  await Promise.all([...clients.values()].map((watched) => makeWhole(clients, work, watched)));
}

function removeUnknown(places: MountPlaces, records: MountRecords): void {
  for (const name of namesIn(places.clientDir).filter(isClientId))
    if (!records.clients.has(name)) removeClientFiles(clientPlace(places, name));
  const points = new Set<string>([...records.clients.keys(), ...records.mounts.keys()]);
  for (const name of namesIn(places.hostDir)) if (!points.has(name)) removePoint(`${places.hostDir}/${name}`);
}

async function makeWhole(clients: WatchedClients, work: MountWork, watched: Watched): Promise<void> {
  const { id } = watched.client;
  await clients
    .oneByOne(watched, async () => {
      await work.endUnwanted(id);
      await work.heal(watched);
    })
    .catch((error: unknown) => work.complain('a volume could not be taken over', id, error));
}
