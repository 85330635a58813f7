/** The parts of this node's storage as they really are. Each is loaded only when it is needed: a node may need none. */
import path from 'node:path';
import { ensureDirectory } from '../linux/files.ts';
import type { Ipv4 } from '../model/addresses.ts';
import type { NodeView } from '../model/cluster-changes.ts';
import type { Config } from '../model/config.ts';
import type { Log } from '../model/log.ts';
import type { VolumeEvent } from '../model/volume-report.ts';
import type { Store } from '../store/contract.ts';
import type { Checkpoint } from './apply.ts';
import type { GlusterDaemon } from './contract.ts';
import type { GlusterParts, PartMakers } from './parts.ts';

export interface StoragePlaces {
  readonly runDir: string;
  readonly stateDir: string;
}

/** Where a node's storage has what: what must survive the machine in the state directory. */
export function storagePlaces({ runDir, stateDir }: StoragePlaces): {
  readonly gluster: string;
  readonly mounts: string;
  readonly clients: string;
} {
  return {
    gluster: path.join(stateDir, 'storage', 'gluster'),
    mounts: path.join(runDir, 'storage', 'mounts'),
    clients: path.join(runDir, 'storage', 'clients'),
  };
}

/** What storaged has written down: the last known cluster, and mounts. */
export function storageStoreOf({ stateDir }: Pick<StoragePlaces, 'stateDir'>): string {
  return path.join(stateDir, 'storaged.sqlite');
}

export interface PartsOptions {
  readonly places: StoragePlaces;
  /** Where Gluster listens; null: nobody but this machine reaches it. */
  readonly address: Ipv4 | null;
  /** Where bricks' images are; undefined: this is no storage node. */
  readonly pool: string | undefined;
  readonly storage: Config['storage'];
  readonly translator: { readonly object: string; readonly filter: string; readonly patience: string };
  readonly checkpoint: Checkpoint;
  readonly log: Log;
}

/** What only the running daemon has. */
export interface PartsWorld {
  view(): NodeView | undefined;
  tell(event: VolumeEvent): void;
  readonly store: Store;
}

export function partMakers(options: PartsOptions, { view, tell, store }: PartsWorld): PartMakers {
  const { storage, pool, checkpoint, log } = options;
  const places = storagePlaces(options.places);
  let daemon: Promise<GlusterDaemon> | undefined;
  const daemonHere = (): Promise<GlusterDaemon> => {
    daemon ??= glusterDaemon(options);
    return daemon;
  };
  return {
    gluster: async () => openGluster(await daemonHere()),
    bricks:
      pool === undefined
        ? undefined
        : async () => {
            const { createBrickKeeper } = await import('./bricks/keeper.ts');
            const { reserve, overcommit } = storage;
            // It starts the daemon with the first brick: how much room there is can be told without.
            return createBrickKeeper({ pool, daemon: await daemonHere(), reserve, overcommit, checkpoint });
          },
    mounts: async (gluster) => {
      const { openMountKeeper } = await import('./mounts/keeper.ts');
      const { openSharedBuckets } = await import('./mounts/shared-buckets.ts');
      const shares = await openSharedBuckets(places.clients);
      const keeper = await openMountKeeper({
        ...{ store, log },
        places: { hostDir: places.mounts, clientDir: places.clients },
        gluster: async () => (await gluster()).daemon,
        // The node of every brick knows the volume; a machine that stands alone asks itself.
        servers:
          options.address === null
            ? undefined
            : (volume) => {
                const bricks = view()?.volumes.get(volume)?.bricks ?? [];
                return [...new Set(bricks.map(({ address }) => address))];
              },
        onEvent: tell,
        parents: shares.filesOf,
      });
      return { keeper, shares };
    },
  };
}

/** Whether anything is on record as mounted; asked without loading what mounts. */
export async function hasMounts(store: Store): Promise<boolean> {
  return (await store.list('mounts/')).entries.length > 0;
}

/** Not started yet, and perhaps running. */
export async function glusterDaemon(
  options: Pick<PartsOptions, 'places' | 'address' | 'pool' | 'storage' | 'translator'>,
): Promise<GlusterDaemon> {
  const { places, address, storage, translator } = options;
  const { gluster, clients } = storagePlaces(places);
  ensureDirectory(clients);
  const { createGlusterDaemon } = await import('./gluster/daemon.ts');
  return createGlusterDaemon({
    directory: gluster,
    visible: [clients],
    uplink: address,
    ...(storage.tls !== undefined && { tls: storage.tls }),
    additions: {
      'xlator/features/sluice-io.so': translator.object,
      'filter/sluice-io': translator.filter,
    },
    preload: translator.patience,
  });
}

async function openGluster(daemon: GlusterDaemon): Promise<GlusterParts> {
  await daemon.ensure();
  const { glusterCommand } = await import('./gluster/command.ts');
  const { createGlusterCluster } = await import('./gluster/cluster.ts');
  const { readWritten } = await import('./gluster/written.ts');
  const command = glusterCommand({ inside: (argv) => daemon.inside(argv) });
  return { daemon, cluster: createGlusterCluster(command, readWritten(daemon.kept)) };
}
