/** Volumes: how they are made and looked at. What becomes of them is volume-changes.ts and volume-clock.ts. */
import * as z from 'zod';
import { ClusterNode, Tenant } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import type { Limits } from '../../model/limits.ts';
import { TenantName } from '../../model/names.ts';
import { emptyPlan, LimitDefaults, NO_DEFAULTS, TenantPlan } from '../../model/plan.ts';
import { WaitQuery } from '../../model/switch-request.ts';
import { type Layout, type Volume, VolumeId } from '../../model/volume.ts';
import { VolumeShown, VolumeWish, VolumeWord } from '../../model/volume-request.ts';
import type { Store } from '../../store/contract.ts';
import { mustRead, PATHS, read, readAll } from './layout.ts';
import { type Cluster, type Operation, operation } from './operation.ts';
import { PageQuery, pageOf } from './paging.ts';
import type { Principal } from './principal.ts';
import { subjectOf } from './volume-clock.ts';
import { meantVolume, tenantFor } from './volume-meant.ts';
import { defaultLayout, type Place, placeBricks } from './volume-placement.ts';
import { checkBandwidth, checkQuota } from './volume-quota.ts';
import { STORAGE_SILENT_AFTER_MS } from './volume-reports.ts';
import { placesFor } from './volume-rooms.ts';
import { shown, shownAmong, shownWhenSettled } from './volume-showing.ts';
import { allGrowths, allVolumes, type KeptVolume, mustFindVolume, newVolumeId } from './volume-store.ts';

/** What all nodes follow, and is looked through for each that is made. */
const MOST_VOLUMES = 1_000;

/** Which one is meant. */
export const Meant = {
  params: z.strictObject({ id: VolumeWord }),
  query: z.strictObject({ ...WaitQuery.shape, tenant: TenantName.optional() }),
};

const create = operation({
  id: 'volume.create',
  method: 'POST',
  path: '/v1/volumes',
  summary:
    'Makes a volume, and answers when it can be mounted, or when the time to wait is over; what cannot be made whole is taken back.',
  query: WaitQuery,
  body: VolumeWish,
  answer: VolumeShown,
  status: 201,
  handle: async (cluster, { who, body, query: { waitMs }, signal }) => {
    const { store, mutate, volumes } = cluster;
    const tenant = tenantFor(who, body.tenant);
    if (tenant === undefined) throw whose();
    checkName(body.name);
    await untilHeard(cluster, signal);
    const id = newVolumeId(cluster.random);
    const subject = subjectOf({ ...body, tenant, id });
    await mutate({ who, operation: 'volume.create', subject }, async () => {
      await mustRead(store, PATHS.tenants + tenant, Tenant, `tenant ${tenant}`);
      const all = (await allVolumes(store)).map(({ one }) => one);
      await checkWish(store, who, tenant, body, all);
      const one = await draft(cluster, who, { ...body, tenant, id }, all);
      const key = PATHS.volumes + id;
      return {
        compare: [{ key, revision: 0 }],
        put: [{ key, value: one }],
        detail: { before: null, after: one },
        result: undefined,
      };
    });
    const kept = await mustFindVolume(store, id);
    volumes.changed('created');
    return { json: await shownWhenSettled(cluster, kept, who, waitMs, signal) };
  },
});

const list = operation({
  id: 'volume.list',
  method: 'GET',
  path: '/v1/volumes',
  summary:
    'Lists volumes with what nodes say of them; with ?all=1 deleted ones, too. A tenant sees only its own.',
  query: z.strictObject({
    ...PageQuery.shape,
    tenant: TenantName.optional(),
    all: z.literal('1').optional(),
  }),
  answer: pageOf(VolumeShown),
  handle: async (cluster, { who, query: { limit, after, tenant: named, all: withDeleted } }) => {
    const { store } = cluster;
    const tenant = tenantFor(who, named);
    const kept = await allVolumes(store);
    const wanted = kept.filter(
      ({ one }) =>
        (tenant === undefined || one.tenant === tenant) &&
        (withDeleted === '1' || one.phase === 'creating' || one.phase === 'ready') &&
        (after === undefined || one.id > after),
    );
    const page = wanted.slice(0, limit);
    const nodes = new Set((await readAll(store, PATHS.nodes, ClusterNode)).map(({ node }) => node));
    const around = { all: kept.map(({ one }) => one), nodes };
    const growths = await allGrowths(store);
    const items = page.map((one) => shownAmong(cluster, one, growths.get(one.one.id), who, around));
    return { json: { items, next: wanted.length > page.length ? (page.at(-1)?.one.id ?? null) : null } };
  },
});

const show = operation({
  id: 'volume.show',
  method: 'GET',
  path: '/v1/volumes/:id',
  summary:
    'Shows a volume, by its id, or by its name with ?tenant=; ?waitMs= waits until what was asked has been done. A tenant sees only its own.',
  ...Meant,
  answer: VolumeShown,
  handle: async (cluster, { who, params: { id }, query: { tenant, waitMs }, signal }) => {
    const kept = await meantVolume(cluster.store, who, id, tenant);
    if (waitMs === 0) return { json: await shown(cluster, kept, who) };
    return { json: await shownWhenSettled(cluster, kept, who, waitMs, signal) };
  },
});

export const volumeOperations: readonly Operation[] = [create, list, show];

/** Right after the server's start a cluster of many storage nodes looks like one of few. */
async function untilHeard({ store, storage }: Cluster, signal: AbortSignal): Promise<void> {
  const nodes = await readAll(store, PATHS.nodes, ClusterNode);
  const isHeard = ({ node, fenced }: ClusterNode): boolean => fenced || storage.node(node) !== undefined;
  for (;;) {
    const since = storage.news.count;
    const leftMs = STORAGE_SILENT_AFTER_MS - storage.ageMs();
    if (leftMs <= 0 || nodes.every(isHeard)) return;
    if (!(await storage.news.wait(since, leftMs, signal))) return;
  }
}

interface Named extends VolumeWish {
  readonly tenant: TenantName;
  readonly id: VolumeId;
}

async function checkWish(
  store: Store,
  who: Principal,
  tenant: TenantName,
  wish: VolumeWish,
  all: readonly Volume[],
): Promise<void> {
  const own = all.filter((one) => one.tenant === tenant);
  const taken = own.find(({ name, phase }) => name === wish.name && phase !== 'removing');
  if (taken !== undefined) throw nameTaken(taken);
  if (all.length >= MOST_VOLUMES) throw tooMany();
  checkQuota(await planOf(store, tenant), own, wish.sizeBytes);
  if (who.role === 'tenant') await checkTenantLimits(store, tenant, wish);
}

/** A tenant's own words on limits, against its plan. @throws SluiceError `refused` */
export async function checkTenantLimits(
  store: Store,
  tenant: TenantName,
  { limits = {} }: { readonly limits?: Limits | undefined },
): Promise<void> {
  const defaults = (await read(store, PATHS.limits, LimitDefaults)) ?? NO_DEFAULTS;
  checkBandwidth(await planOf(store, tenant), defaults, limits);
}

export async function planOf(store: Store, tenant: TenantName): Promise<TenantPlan> {
  return (await read(store, PATHS.plans + tenant, TenantPlan)) ?? emptyPlan(tenant);
}

/** Storage nodes that can be asked, with what they may still promise. */
export async function storagePlaces(
  { store, storage, volumeRules: { overcommit } }: Cluster,
  one: Pick<Volume, 'thin'>,
  volumes: readonly Volume[],
): Promise<Place[]> {
  const nodes = await readAll(store, PATHS.nodes, ClusterNode);
  return placesFor(one, { told: storage.nodes(), nodes, volumes, overcommit });
}

async function draft(
  cluster: Cluster,
  who: Principal,
  { layout: asked, ...wish }: Named,
  all: readonly Volume[],
): Promise<Volume> {
  const places = await storagePlaces(cluster, wish, all);
  if (places.length === 0) throw noStorage();
  const layout: Layout = asked ?? defaultLayout(places.length);
  const placed = placeBricks({ ...wish, layout }, places);
  if (!placed.ok) throw noRoom(placed.why, who.role === 'tenant' ? undefined : placed.rooms, wish.thin);
  const bricks = [...placed.bricks];
  const { id, tenant, name, sizeBytes, inodes, thin, limits, nodeLimits } = wish;
  return {
    ...{ id, tenant, name, sizeBytes, inodes, thin, limits, nodeLimits, layout, bricks },
    phase: 'creating',
    hosts: [],
    coordinator: leastBusy(bricks, all),
    generation: 1,
    removeAt: null,
    createdAt: cluster.now(),
  };
}

/** Orders of one volume come one after the other; those of several may go side by side. */
function leastBusy(bricks: Volume['bricks'], all: readonly Volume[]): Volume['coordinator'] {
  const load = (node: Volume['coordinator']): number =>
    all.filter(({ coordinator }) => coordinator === node).length;
  const nodes = [...new Set(bricks.map(({ node }) => node))];
  return nodes.sort((a, b) => load(a) - load(b) || (a < b ? -1 : 1))[0] as Volume['coordinator'];
}

/** Else nobody could say which of the two is meant. */
function checkName(name: string): void {
  if (!VolumeId.safeParse(name).success) return;
  throw new SluiceError(
    'invalid_request',
    `${name} looks like the id of a volume`,
    'choose a name that is not v and twelve hexadecimal digits',
  );
}

function nameTaken({ tenant, name, phase }: KeptVolume['one']): SluiceError {
  const what = `tenant ${tenant} has a volume ${name}`;
  if (phase !== 'deleted') return new SluiceError('already_exists', what, 'use it, or choose another name');
  return new SluiceError(
    'already_exists',
    `${what}, which is deleted and whose data is still kept`,
    `have it back (sluice volume undelete ${name}), give it up (sluice volume delete ${name} --now), or choose another name`,
  );
}

function tooMany(): SluiceError {
  return new SluiceError('limited', `there are ${MOST_VOLUMES} volumes already`, 'delete some');
}

function whose(): SluiceError {
  return new SluiceError(
    'invalid_request',
    'it is not said whose volume it is to be',
    'name a tenant: --tenant NAME; a tenant’s own token need not',
  );
}

function noStorage(): SluiceError {
  return new SluiceError(
    'not_ready',
    'no storage node can be reached',
    'sluice status on storage nodes tells why; a node becomes one with storage.bricks: on (sluice up --storage)',
  );
}

export function noRoom(why: string, rooms: string | undefined, thin: boolean): SluiceError {
  const thinner = thin ? '' : ', or let it take its room as it fills (--thin)';
  return new SluiceError(
    'refused',
    rooms === undefined || rooms === '' ? why : `${why}; ${rooms}`,
    `make it smaller, choose another layout, remove volumes, or add a storage node${thinner}`,
  );
}
