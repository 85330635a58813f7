/** What is done to volumes: grown, limited, deleted, had back. */
import * as z from 'zod';
import { ClusterNode } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import { isoOf } from '../../model/iso-time.ts';
import { fieldsOf } from '../../model/limits-tree.ts';
import type { NodeName } from '../../model/names.ts';
import { type Brick, replicaSetsOf, type Volume } from '../../model/volume.ts';
import { LimitWish, ResizeWish, VolumeShown } from '../../model/volume-request.ts';
import type { Put, Store } from '../../store/contract.ts';
import type { OperationId } from './authorization.ts';
import { PATHS, readAll } from './layout.ts';
import { type Cluster, type Operation, operation, type Parsed } from './operation.ts';
import type { Principal } from './principal.ts';
import { subjectOf, type VolumeDeed } from './volume-clock.ts';
import { meantVolume } from './volume-meant.ts';
import { brickBytes, inWords } from './volume-placement.ts';
import { checkQuota } from './volume-quota.ts';
import { imageOf } from './volume-rooms.ts';
import { mountsOf, shownWhenSettled } from './volume-showing.ts';
import { allVolumes, type Growth, growthOf, mustFindVolume } from './volume-store.ts';
import { checkTenantLimits, Meant, noRoom, planOf, storagePlaces } from './volumes.ts';

const resize = operation({
  id: 'volume.resize',
  method: 'POST',
  path: '/v1/volumes/:id/resize',
  summary: 'Grows a volume while it is used. None shrinks.',
  ...Meant,
  body: ResizeWish,
  answer: VolumeShown,
  handle: async (cluster, request) => {
    const { who, body } = request;
    return change(cluster, request, 'volume.resize', 'resized', async (one) => {
      mustBeReady(one);
      checkGrows(one, body);
      const { store } = cluster;
      if ((await growthOf(store, one.id)) !== undefined) throw stillGrowing(one);
      const all = (await allVolumes(store)).map((kept) => kept.one);
      const others = all.filter(({ tenant, id }) => tenant === one.tenant && id !== one.id);
      const { volumes, ...plan } = await planOf(store, one.tenant);
      // It counts already: only its bytes are new.
      checkQuota({ ...plan, volumes: { ...volumes, count: null } }, others, body.sizeBytes);
      const after = grown(one, body);
      if (after.sizeBytes === one.sizeBytes && after.inodes === one.inodes) return { after: one };
      await checkRoom(cluster, who, one, after, all);
      const { sizeBytes, inodes } = one;
      const growth: Growth = {
        generation: after.generation,
        before: { sizeBytes, inodes, bricks: one.bricks.map(({ bytes }) => bytes) },
      };
      return { after, put: [{ key: PATHS.growths + one.id, value: growth }] };
    });
  },
});

const limit = operation({
  id: 'volume.limit',
  method: 'PUT',
  path: '/v1/volumes/:id/limits',
  summary: 'Sets limits of a volume’s mounts: what is named replaces, the rest stays, null is unlimited.',
  ...Meant,
  body: LimitWish,
  answer: VolumeShown,
  handle: async (cluster, request) => {
    const { who, body } = request;
    return change(cluster, request, 'volume.limit', 'limited', async (one) => {
      if (one.phase === 'removing') throw isGoing(one);
      if (who.role === 'tenant') await checkTenantLimits(cluster.store, one.tenant, body);
      const limits = { ...one.limits, ...Object.fromEntries(fieldsOf(body.limits ?? {})) };
      const nodeLimits = { ...one.nodeLimits, ...Object.fromEntries(fieldsOf(body.nodeLimits ?? {})) };
      // Whoever holds limits follows the record itself; Gluster has no part in it, so the generation stays.
      return { after: { ...one, limits, nodeLimits } };
    });
  },
});

const remove = operation({
  id: 'volume.delete',
  method: 'DELETE',
  path: '/v1/volumes/:id',
  summary:
    'Deletes a volume that nobody has mounted. Its data is kept for a while, in which it can be had back; with ?now=1 it is gone.',
  params: Meant.params,
  query: Meant.query.extend({ now: z.literal('1').optional() }),
  answer: VolumeShown,
  handle: async (cluster, request) => {
    const { now: atOnce } = request.query;
    const { keepDeletedMs } = cluster.volumeRules;
    return change(cluster, request, 'volume.delete', 'deleted', async (one) => {
      if (one.phase === 'removing') return { after: one };
      // A deleted one was idle then, and nobody can have mounted it since.
      if (one.phase !== 'deleted') await checkIdle(one, cluster);
      const isKept = one.phase === 'ready' && atOnce === undefined && keepDeletedMs > 0;
      if (one.phase === 'deleted' && atOnce === undefined) throw isDeleted(one);
      const generation = one.generation + 1;
      const gone = { delete: [PATHS.growths + one.id] };
      if (!isKept) return { after: { ...one, phase: 'removing', removeAt: null, generation }, ...gone };
      const removeAt = cluster.now() + keepDeletedMs;
      return { after: { ...one, phase: 'deleted', removeAt, generation } };
    });
  },
});

const undelete = operation({
  id: 'volume.undelete',
  method: 'POST',
  path: '/v1/volumes/:id/undelete',
  summary: 'Has a deleted volume back whose data is still kept.',
  ...Meant,
  answer: VolumeShown,
  handle: async (cluster, request) =>
    change(cluster, request, 'volume.undelete', 'undeleted', (one) => {
      if (one.phase === 'removing') throw isGoing(one);
      if (one.phase !== 'deleted')
        throw new SluiceError('conflict', `volume ${one.name} is not deleted`, 'there is nothing to do');
      return Promise.resolve({
        after: { ...one, phase: 'ready', removeAt: null, generation: one.generation + 1 },
      });
    }),
});

export const volumeChangeOperations: readonly Operation[] = [resize, limit, remove, undelete];

export interface Changed {
  readonly after: Volume;
  readonly put?: readonly Put[];
  readonly delete?: readonly string[];
}

/** Finds the volume that is meant, changes it in one transaction, and waits until nodes have followed. */
export async function change(
  cluster: Cluster,
  {
    who,
    params: { id: word },
    query: { tenant, waitMs },
    signal,
  }: Pick<
    Parsed<typeof Meant.params, typeof Meant.query, z.ZodUndefined>,
    'who' | 'params' | 'query' | 'signal'
  >,
  operationId: OperationId,
  deed: VolumeDeed,
  plan: (one: Volume) => Promise<Changed>,
): Promise<{ json: VolumeShown }> {
  const { store, mutate, storage } = cluster;
  const { one: meant } = await meantVolume(store, who, word, tenant);
  // What could not be had before is no answer to what is asked for now.
  storage.forgetWhy(meant.id);
  const after = await mutate({ who, operation: operationId, subject: subjectOf(meant) }, async () => {
    const { one } = await mustFindVolume(store, meant.id);
    const { after: result, put = [], delete: gone = [] } = await plan(one);
    return {
      put: [...put, { key: PATHS.volumes + one.id, value: result }],
      delete: gone,
      detail: { before: one, after: result },
      result,
    };
  });
  const kept = { one: after, revision: await revisionOf(store, after) };
  cluster.volumes.changed(deed);
  return { json: await shownWhenSettled(cluster, kept, who, waitMs, signal) };
}

/** It may be gone already. */
async function revisionOf(store: Store, { id }: Volume): Promise<number> {
  return (await store.get(PATHS.volumes + id))?.revision ?? 0;
}

/** @throws SluiceError `refused` */
function checkGrows(one: Volume, { sizeBytes, inodes }: z.infer<typeof ResizeWish>): void {
  if (sizeBytes < one.sizeBytes)
    throw new SluiceError(
      'refused',
      `volume ${one.name} has ${inWords(one.sizeBytes)}, and would have ${inWords(sizeBytes)}: a volume does not shrink, because the file systems that it lies on cannot`,
      'make a smaller one, and copy what is to stay',
    );
  const fewer = typeof inodes === 'number' && (one.inodes === null || inodes < one.inodes);
  if (fewer)
    throw new SluiceError(
      'refused',
      `volume ${one.name} may hold ${one.inodes ?? 'any number of'} files, and would hold ${inodes}: that cannot be taken back`,
      'make a new one, and copy what is to stay',
    );
}

function grown(one: Volume, { sizeBytes, inodes: asked }: z.infer<typeof ResizeWish>): Volume {
  const inodes = asked === undefined ? one.inodes : asked;
  const bytes = brickBytes(replicaSetsOf(one).length, { sizeBytes, inodes });
  const bricks = one.bricks.map(
    (brick): Brick => ({ ...brick, bytes: Math.max(brick.bytes, bytes[brick.role]) }),
  );
  return { ...one, sizeBytes, inodes, bricks, generation: one.generation + 1 };
}

/** @throws SluiceError `refused`, `not_ready` */
async function checkRoom(
  cluster: Cluster,
  who: Principal,
  before: Volume,
  after: Volume,
  all: readonly Volume[],
): Promise<void> {
  const places = await storagePlaces(cluster, after, all);
  const more = new Map<string, number>();
  for (const [i, { node }] of after.bricks.entries())
    more.set(node, (more.get(node) ?? 0) + imageOf(after, i) - imageOf(before, i));
  for (const [node, needed] of more) {
    const place = places.find((one) => one.node === node);
    if (place === undefined)
      throw new SluiceError(
        'not_ready',
        `node ${node}, which holds a brick of it, cannot be reached`,
        'try again when it is back',
      );
    if (place.room < needed)
      throw noRoom(
        `node ${node} does not have the room: its bricks would need ${inWords(needed)} more`,
        who.role === 'tenant' ? undefined : `it has ${inWords(Math.max(0, place.room))}`,
        after.thin,
      );
  }
}

/** @throws SluiceError `conflict` naming who has it mounted, `not_ready` when that is not known of a node */
async function checkIdle(one: Volume, { storage, store }: Cluster): Promise<void> {
  const nodes = await readAll(store, PATHS.nodes, ClusterNode);
  // Bricks let in no node that was shut out, and its last words may stand for ever.
  const isIn = ({ node }: { readonly node: NodeName }): boolean =>
    nodes.some((known) => known.node === node && !known.fenced);
  const users = mountsOf(one, storage.nodes().filter(isIn));
  if (users.length > 0) {
    const named = users.slice(0, 10).map(({ node, mount }) => `container ${mount.container} on node ${node}`);
    const more = users.length > 10 ? ` and ${users.length - 10} more` : '';
    throw new SluiceError(
      'conflict',
      `volume ${one.name} is in use: ${named.join(', ')}${more}`,
      'end these containers, or unmount it there: sluice volume unmount',
    );
  }
  const unheard = one.hosts.filter((host) => storage.node(host) === undefined);
  if (unheard.length > 0)
    throw new SluiceError(
      'not_ready',
      `node ${unheard.join(', ')} may have it mounted, and has not been heard of since the server started`,
      'try again when it is back; if it is gone for good: sluice node remove, or node fence',
    );
}

/** @throws SluiceError `conflict` */
export function mustBeReady(one: Volume): void {
  if (one.phase === 'ready') return;
  if (one.phase === 'deleted') throw isDeleted(one);
  if (one.phase === 'removing') throw isGoing(one);
  throw new SluiceError('conflict', `volume ${one.name} is being made`, 'try again when it is ready');
}

function isDeleted({ name, removeAt }: Volume): SluiceError {
  return new SluiceError(
    'conflict',
    `volume ${name} is deleted; its data is kept until ${isoOf(removeAt ?? 0)}`,
    `have it back: sluice volume undelete ${name}; or give it up: sluice volume delete ${name} --now`,
  );
}

function isGoing({ name }: Volume): SluiceError {
  return new SluiceError(
    'conflict',
    `volume ${name} is being removed`,
    'it cannot be had back; make a new one',
  );
}

export function stillGrowing({ name }: Volume): SluiceError {
  return new SluiceError(
    'conflict',
    `volume ${name} is still being grown`,
    'sluice volume show tells which brick has not done so; try again then',
  );
}
