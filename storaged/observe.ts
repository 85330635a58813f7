/** Reads what this node has of storage into plain records, and decides nothing. */
import type { HeldBrick } from './contract.ts';
import type { StorageParts } from './parts.ts';
import type { GlusterPicture } from './plan.ts';

export interface Observed {
  readonly bricks: readonly HeldBrick[];
  readonly gluster: GlusterPicture | undefined;
}

/** Starts nothing: what is not open yet has nothing to tell. @throws SluiceError `storage_failed` */
export async function observeStorage({ open }: Pick<StorageParts, 'open'>): Promise<Observed> {
  const bricks = (await open.bricks?.held()) ?? [];
  if (open.gluster?.daemon.isAlive() !== true) return { bricks, gluster: undefined };
  const { cluster } = open.gluster;
  return { bricks, gluster: { volumes: await cluster.volumes(), members: await cluster.members() } };
}
