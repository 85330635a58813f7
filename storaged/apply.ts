/** Carries out what is planned for a volume, one action after the other; each may be repeated. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ipv4 } from '../model/addresses.ts';
import { SluiceError } from '../model/errors.ts';
import { glusterName } from '../model/volume.ts';
import type { BrickKeeper, GlusterCluster } from './contract.ts';
import type { StorageParts } from './parts.ts';
import type { Action } from './plan.ts';

/** For tests of crashes: called with the name of what is about to be done, and of what was done. */
export type Checkpoint = (point: string) => void;

const PEER_JOINS_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 50;

/** @throws SluiceError that of the first action that fails; those behind it are not begun */
export async function applyActions(
  parts: StorageParts,
  actions: readonly Action[],
  checkpoint: Checkpoint,
): Promise<void> {
  for (const action of actions) {
    checkpoint(`storage:${action.do}`);
    await applyAction(parts, action);
    checkpoint(`storage:${action.do}:done`);
  }
}

async function applyAction(parts: StorageParts, action: Action): Promise<void> {
  if (action.do === 'brick') await (await bricksOf(parts)).ensure(action.brick);
  else if (action.do === 'remove-brick') await (await bricksOf(parts)).remove(action.volume, action.index);
  else await giveOrder((await parts.gluster()).cluster, action);
}

async function bricksOf(parts: StorageParts): Promise<BrickKeeper> {
  const bricks = parts.bricks();
  if (bricks !== undefined) return bricks;
  throw new SluiceError(
    'refused',
    'this node keeps no bricks',
    'start it as a storage node: sluice up --storage',
  );
}

type Order = Exclude<Action, { readonly do: 'brick' | 'remove-brick' }>;

async function giveOrder(cluster: GlusterCluster, order: Order): Promise<void> {
  const name = glusterName(order.volume);
  switch (order.do) {
    case 'probe':
      return join(cluster, order.address);
    case 'create':
      return cluster.create(order.create, order.options);
    case 'set':
      return cluster.set(name, order.options);
    case 'replace':
      return cluster.replace(name, order.from, order.to);
    case 'detach':
      return cluster.detach(order.address);
    case 'start':
      return cluster.start(name);
    case 'stop':
      return cluster.stop(name);
    case 'delete':
      return cluster.delete(name);
  }
}

/** A volume can be made only when all that it lies on are full members, which takes them a moment. */
async function join(cluster: GlusterCluster, address: Ipv4): Promise<void> {
  await cluster.probe(address);
  for (const until = performance.now() + PEER_JOINS_WITHIN_MS; ; ) {
    const peers = await cluster.peers();
    if (peers.some((peer) => peer.address === address && peer.joined && peer.connected)) return;
    if (performance.now() > until)
      throw new SluiceError(
        'storage_failed',
        `the storage node at ${address} does not answer its peers`,
        'see `sluice status` there; TCP ports 24007 and 24008 must be open between storage nodes',
      );
    await sleep(LOOK_EVERY_MS);
  }
}
