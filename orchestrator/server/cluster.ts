/** The cluster itself: made at the server's first start, and held to what it was made with ever after. */
import * as z from 'zod';
import { type Cidr, cidrOverlaps, cidrPrefix } from '../../model/addresses.ts';
import { CarrierChoice, type ClusterPools, ClusterSettings } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import type { Store } from '../../store/contract.ts';
import { mustRead, PATHS, read } from './layout.ts';
import { type Operation, operation } from './operation.ts';

/**
 * Makes the cluster's settings, or checks that they are those of the configuration.
 *
 * @throws SluiceError `invalid_request` (pools that cannot work), `refused` (other settings than at first start)
 */
export async function openCluster(store: Store, wanted: ClusterPools): Promise<void> {
  checkPools(wanted);
  const made = await store.txn({
    compare: [{ key: PATHS.settings, revision: 0 }],
    put: [{ key: PATHS.settings, value: ClusterSettings.parse(wanted) }],
  });
  if (made.ok) return;
  const settings = await read(store, PATHS.settings, ClusterSettings);
  if (settings !== undefined) checkSame(settings, wanted);
}

const set = operation({
  id: 'cluster.set',
  method: 'PATCH',
  path: '/v1/cluster',
  summary: 'Changes what may be changed while the cluster runs: how tags travel between nodes.',
  body: z.strictObject({ carrier: CarrierChoice }),
  answer: ClusterSettings,
  handle: async ({ store, mutate }, { who, body: { carrier } }) => {
    const subject = `carrier ${carrier}`;
    const settings = await mutate({ who, operation: 'cluster.set', subject }, async () => {
      const known = await mustRead(store, PATHS.settings, ClusterSettings, 'cluster');
      const result: ClusterSettings = { ...known, carrier };
      return { put: [{ key: PATHS.settings, value: result }], result };
    });
    return { json: settings };
  },
});

export const clusterOperations: readonly Operation[] = [set];

function checkSame(settings: ClusterSettings, wanted: ClusterPools): void {
  const names = ['internalPool', 'externalPool', 'internalPool6', 'blockPrefix'] as const;
  const changed = names.filter((name) => settings[name] !== wanted[name]);
  if (changed.length === 0) return;
  const what = changed.map(
    (name) =>
      `network.${name} is ${settings[name] ?? 'not set'}, the configuration says ${wanted[name] ?? 'nothing'}`,
  );
  throw new SluiceError(
    'refused',
    `the cluster was made with other settings: ${what.join('; ')}`,
    'put the old values back; to change them, make a new cluster (another SLUICE_STATE_DIR)',
  );
}

function checkPools({ internalPool, externalPool, blockPrefix }: ClusterPools): void {
  if (cidrOverlaps(internalPool, externalPool)) {
    throw unusable(`network.internalPool ${internalPool} and network.externalPool ${externalPool} overlap`);
  }
  const small = [internalPool, externalPool].find((pool: Cidr) => cidrPrefix(pool) > blockPrefix);
  if (small !== undefined) throw unusable(`the pool ${small} is smaller than one block of /${blockPrefix}`);
}

function unusable(message: string): SluiceError {
  return new SluiceError('invalid_request', message, 'choose two pools that are in use nowhere else');
}
