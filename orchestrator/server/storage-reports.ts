/** What nodes tell of storage: their pools, bricks and mounts, and as coordinators how volumes are. */
import * as z from 'zod';
import { ClusterNode } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import { NodeName } from '../../model/names.ts';
import type { Volume } from '../../model/volume.ts';
import { StorageAnswer, StorageReport } from '../../model/volume-report.ts';
import type { Store } from '../../store/contract.ts';
import { mustRead, PATHS, readAll } from './layout.ts';
import { type Cluster, type Operation, operation } from './operation.ts';
import { standingsOf } from './volume-reports.ts';
import { allVolumes } from './volume-store.ts';

/** Ten thousand mounts with their counters. */
const REPORT_BYTES = 2 ** 25;

const report = operation({
  id: 'storage.report',
  method: 'POST',
  path: '/v1/nodes/:node/storage',
  summary:
    'Tells what a node has of storage, always all of it; answers how the bricks are of the volumes that it coordinates.',
  params: z.strictObject({ node: NodeName }),
  body: StorageReport,
  bodyBytes: REPORT_BYTES,
  answer: StorageAnswer,
  handle: async (cluster, { who, params: { node }, body }) => {
    const { store, storage } = cluster;
    // On the server's own machine the node speaks as root.
    if (who.role === 'node' && who.node !== node) throw notThisNode(node);
    if (body.node !== node) throw notThisNode(body.node);
    if (storage.node(node)?.address !== body.address) await checkAddress(store, node, body);
    storage.take(body);
    if (body.events.length > 0) await keepEvents(cluster, body);
    return { json: { volumes: await standingsFor(cluster, node) } };
  },
});

export const storageReportOperations: readonly Operation[] = [report];

/** Else it could have others' bricks made at its own place. @throws SluiceError `not_found`, `refused` */
async function checkAddress(store: Store, node: NodeName, { address }: StorageReport): Promise<void> {
  await mustRead(store, PATHS.nodes + node, ClusterNode, `node ${node}`);
  const other = (await readAll(store, PATHS.nodes, ClusterNode)).find(
    (one) => one.node !== node && one.uplinkAddress === address,
  );
  if (other === undefined) return;
  throw new SluiceError(
    'refused',
    `${address} is the address of node ${other.node}`,
    'a storage node is reached at its own uplink',
  );
}

async function standingsFor({ store, storage }: Cluster, node: NodeName): Promise<StorageAnswer['volumes']> {
  const all = (await allVolumes(store)).map(({ one }) => one);
  return all
    .filter(({ coordinator, phase }) => coordinator === node && phase === 'ready')
    .map((one) => ({ volume: one.id, bricks: standingsOf(storage, one) }));
}

/** Only those of volumes that the node has to do with; what befalls a pool befalls all that lies in it. */
async function keepEvents(
  { store, storage, volumes }: Cluster,
  { node, events }: StorageReport,
): Promise<void> {
  const own = (await allVolumes(store)).map(({ one }) => one).filter((one) => concerns(one, node));
  for (const event of events) {
    const about = own.filter(({ id }) => event.volume === null || event.volume === id);
    const isNews = about.filter(({ id }) => storage.addEvent(id, event)).length > 0;
    if (isNews) volumes.befell(node, event);
  }
}

function concerns({ bricks, coordinator, hosts }: Volume, node: NodeName): boolean {
  return coordinator === node || hosts.includes(node) || bricks.some((brick) => brick.node === node);
}

function notThisNode(node: NodeName): SluiceError {
  return new SluiceError(
    'refused',
    `only node ${node} tells what it has of storage`,
    'a node reports for itself, in the path and in the body',
  );
}
