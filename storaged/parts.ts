/**
 * The parts of a node's storage, each loaded and opened when it is first needed: a node that has nothing of storage pays
 * for none of them.
 */
import type { BrickKeeper, GlusterCluster, GlusterDaemon, MountKeeper, SharedBuckets } from './contract.ts';

export interface GlusterParts {
  readonly daemon: GlusterDaemon;
  readonly cluster: GlusterCluster;
}

export interface MountParts {
  readonly keeper: MountKeeper;
  readonly shares: SharedBuckets;
}

export interface StorageParts {
  /** glusterd runs when this is fulfilled. @throws SluiceError `storage_failed` */
  gluster(): Promise<GlusterParts>;
  /** undefined: this is no storage node. */
  bricks(): Promise<BrickKeeper> | undefined;
  mounts(): Promise<MountParts>;
  /** What is open by now. */
  readonly open: {
    readonly gluster: GlusterParts | undefined;
    readonly bricks: BrickKeeper | undefined;
    readonly mounts: MountParts | undefined;
  };
}

/** How the parts are made; the daemon is handed to those that work inside its namespaces. */
export interface PartMakers {
  gluster(): Promise<GlusterParts>;
  bricks: ((gluster: () => Promise<GlusterParts>) => Promise<BrickKeeper>) | undefined;
  mounts(gluster: () => Promise<GlusterParts>): Promise<MountParts>;
}

export function lazyParts(makers: PartMakers): StorageParts {
  const open: { gluster?: GlusterParts; bricks?: BrickKeeper; mounts?: MountParts } = {};
  const made = once(makers.gluster, (parts) => {
    open.gluster = parts;
  });
  /** It may have died since it was opened. */
  const gluster = async (): Promise<GlusterParts> => {
    const parts = await made();
    if (!parts.daemon.isAlive()) await parts.daemon.ensure();
    return parts;
  };
  const { bricks } = makers;
  return {
    gluster,
    bricks:
      bricks === undefined
        ? () => undefined
        : once(
            () => bricks(gluster),
            (keeper) => {
              open.bricks = keeper;
            },
          ),
    mounts: once(
      () => makers.mounts(gluster),
      (parts) => {
        open.mounts = parts;
      },
    ),
    get open(): StorageParts['open'] {
      return { gluster: open.gluster, bricks: open.bricks, mounts: open.mounts };
    },
  };
}

/** One attempt at a time; a failed one is made again when it is next asked for. */
function once<T>(make: () => Promise<T>, made: (value: T) => void): () => Promise<T> {
  let attempt: Promise<T> | undefined;
  return () => {
    attempt ??= make().then(
      (value) => {
        made(value);
        return value;
      },
      (error: unknown) => {
        attempt = undefined;
        throw error;
      },
    );
    return attempt;
  };
}
