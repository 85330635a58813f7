/** How storage is on this node, put together from its parts: for the server, for `sluice status`, for Prometheus. */
import type { Ipv4 } from '../model/addresses.ts';
import type { NodeName } from '../model/names.ts';
import type { MountReport, StorageReport, VolumeEvent, VolumeReport } from '../model/volume-report.ts';
import type { BrickWatch } from './brick-watch.ts';
import { watchBrokenDisks } from './disk-watch.ts';
import type { StorageKeeper } from './keeper.ts';
import type { StorageParts } from './parts.ts';
import { watchPool } from './pool-watch.ts';
import type { VolumeWatch } from './volume-watch.ts';

export interface PictureWorld {
  /** Whether a volume names this node among its hosts: the server waits for its word, also when it has nothing. */
  isHost(): boolean;
  readonly parts: StorageParts;
  readonly keeper: StorageKeeper;
  readonly bricks: BrickWatch;
  readonly watch: Pick<VolumeWatch, 'of'>;
  tell(event: VolumeEvent): void;
  address(): Ipv4 | undefined;
}

type Whole = Omit<StorageReport, 'node' | 'events'>;

export interface Picture {
  /** undefined: this node has nothing of storage, and keeps no bricks. */
  report(): Promise<Whole | undefined>;
  metrics(): Promise<string>;
  status(node: NodeName, told: boolean): Promise<object>;
}

export function createPicture(world: PictureWorld): Picture {
  const { parts, keeper, watch } = world;
  /** A node that had something goes on to say that it has nothing. */
  let spoken = false;
  const lookAtPool = watchPool(world.tell);
  const lookAtDisks = watchBrokenDisks(world.tell);

  async function whole(): Promise<Whole> {
    const bricks = await parts.bricks();
    await keeper.refresh();
    lookAtDisks(keeper.heldBricks());
    const pool = (await bricks?.pool()) ?? null;
    lookAtPool(pool);
    return {
      revision: keeper.revision(),
      pool,
      address: world.address() ?? null,
      bricks: await world.bricks.look(keeper.bricks()),
      volumes: keeper.volumes().map((volume): VolumeReport => {
        const { online, fill, heal } = watch.of(volume.volume) ?? { online: [], fill: null, heal: null };
        return { ...volume, online: [...online], fill, heal };
      }),
      mounts: await mounts(),
    };
  }

  async function mounts(): Promise<MountReport[]> {
    const { keeper: held } = parts.open.mounts ?? {};
    if (held === undefined) return [];
    return Promise.all(
      held.mounts().map(async ({ id, volume, container, into, state, replaced }): Promise<MountReport> => {
        const statistics = await held.statistics(id).catch(() => null);
        return {
          ...{ id, volume, container, directory: into?.directory ?? null, state, replaced },
          statistics,
        };
      }),
    );
  }

  return {
    async report(): Promise<Whole | undefined> {
      const { open } = parts;
      if (
        !spoken &&
        !world.isHost() &&
        open.mounts === undefined &&
        open.gluster === undefined &&
        parts.bricks() === undefined
      )
        return undefined;
      spoken = true;
      return whole();
    },
    async metrics(): Promise<string> {
      const { storageMetrics } = await import('./metrics.ts');
      return storageMetrics(await whole());
    },
    async status(node, told): Promise<object> {
      const bricks = keeper.bricks();
      const failed = bricks.find(({ state }) => state === 'failed');
      const { gluster } = parts.open;
      return {
        node,
        // A volume that is not as it should be is no reason for a node to be unready: others are.
        ready: told,
        storage: {
          keepsBricks: parts.bricks() !== undefined,
          gluster: glusterState(gluster?.daemon.isAlive()),
          bricks: bricks.length,
          mounts: parts.open.mounts?.keeper.mounts().length ?? 0,
          broken: parts.open.mounts?.keeper.mounts().filter(({ state }) => state === 'broken').length ?? 0,
          problem: failed?.why ?? null,
        },
      };
    },
  };
}

function glusterState(isAlive: boolean | undefined): string {
  if (isAlive === undefined) return 'not needed';
  return isAlive ? 'up' : 'down';
}
