/** A volume for a container of this node: may it, may this node, what holds from the first operation; then it is mounted. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../linux/api-client.ts';
import type { NodeView } from '../model/cluster-changes.ts';
import { baseOf, effective, valuesOf } from '../model/effective-limits.ts';
import { SluiceError } from '../model/errors.ts';
import { type Limits, VOLUME_FIELDS } from '../model/limits.ts';
import type { NodeName } from '../model/names.ts';
import type { MountRequest, Volume } from '../model/volume.ts';
import { VolumeShown } from '../model/volume-request.ts';
import type { Containers } from './containers.ts';
import type { Mount } from './contract.ts';
import type { StorageKeeper } from './keeper.ts';
import type { StorageParts } from './parts.ts';

export interface MountingWorld {
  readonly node: NodeName;
  readonly parts: Pick<StorageParts, 'mounts'>;
  readonly server: Pick<ApiClient, 'request'>;
  readonly containers: Containers;
  readonly keeper: Pick<StorageKeeper, 'settledAt' | 'request'>;
  view(): NodeView | undefined;
}

/** So long for the server's word to come back to this node, and for the coordinator's orders to Gluster. */
const ACCESS_WITHIN_MS = 15_000;
const HEARS_WITHIN_MS = 1_000;
const LOOK_EVERY_MS = 20;

/**
 * May be repeated.
 * @throws SluiceError `not_found`, `refused` (another tenant's container), `not_ready` (the volume is), `try_again`,
 *   `unreachable`, `storage_failed`
 */
export async function mountVolume(world: MountingWorld, request: MountRequest): Promise<Mount> {
  await heardOf(world, request);
  const volume = readyVolume(world, request);
  const owner = await world.containers.tenantOf(request.container);
  if (owner !== undefined && owner !== volume.tenant) throw notTheirs();
  await requireAccess(world, request);
  const now = readyVolume(world, request);
  const { keeper, shares } = await world.parts.mounts();
  // What all mounts share holds before the first of them can draw from it; from then on netd holds the tenant's.
  await shares.set({ volume: now.id }, now.nodeLimits);
  const isFirst = keeper.mounts().every(({ tenant }) => tenant !== now.tenant);
  if (isFirst) await shares.set({ tenant: now.tenant }, shareOf(world, now));
  const mount = await keeper.mount({
    ...request,
    tenant: now.tenant,
    sizeBytes: now.sizeBytes,
    effective: initialLimits(world, now, request),
  });
  if (request.into !== null) world.containers.mountedInto(mount.id, request.into.pid);
  return mount;
}

/** The algebra without switches; netd, who knows those, follows at once. */
export function initialLimits(
  { view }: Pick<MountingWorld, 'view'>,
  volume: Volume,
  { limits }: MountRequest,
): Limits {
  const seen = view();
  const base = baseOf({
    app: { ...volume.limits, ...limits },
    runtime: {},
    plan: seen?.plans.get(volume.tenant)?.container ?? {},
    cluster: seen?.defaults.container ?? {},
  });
  return valuesOf(effective({ base, switches: [], fields: VOLUME_FIELDS }));
}

/** Of a tenant's mounts on this node together: what its plan says, in the fields of a mount. */
function shareOf({ view }: MountingWorld, { tenant }: Volume): Limits {
  const share: Readonly<Record<string, unknown>> = view()?.plans.get(tenant)?.share ?? {};
  const named = VOLUME_FIELDS.map((field) => [field, share[`tenant.${field}`] ?? null] as const);
  return Object.fromEntries(named) as Limits;
}

/** Whoever has just been told by the server that it is ready may be ahead of this node by a moment. */
async function heardOf({ view }: MountingWorld, { volume: id }: MountRequest): Promise<void> {
  const until = performance.now() + HEARS_WITHIN_MS;
  const isReady = (): boolean => view()?.volumes.get(id)?.phase === 'ready';
  while (!isReady() && performance.now() < until) await sleep(LOOK_EVERY_MS);
}

function readyVolume({ view }: MountingWorld, { volume: id }: MountRequest): Volume {
  const volume = view()?.volumes.get(id);
  if (volume === undefined || volume.phase === 'removing')
    throw new SluiceError('not_found', `there is no volume ${id}`, 'see `sluice volume list`');
  if (volume.phase === 'ready') return volume;
  if (volume.phase === 'deleted')
    throw new SluiceError(
      'not_found',
      `volume ${volume.name} is deleted`,
      `sluice volume undelete ${volume.name}`,
    );
  throw new SluiceError(
    'not_ready',
    `volume ${volume.name} is not made yet`,
    `wait for it: sluice volume show ${volume.name}`,
  );
}

/** Gluster serves only addresses on the volume's list; a node asks to be on it once. */
async function requireAccess(world: MountingWorld, request: MountRequest): Promise<void> {
  const { node, server } = world;
  const first = readyVolume(world, request);
  const until = performance.now() + ACCESS_WITHIN_MS;
  if (!first.hosts.includes(node)) {
    await server.request('POST', `/v1/volumes/${first.id}/hosts`, { node });
    while (!readyVolume(world, request).hosts.includes(node))
      await pause(until, 'the server has not told this node');
  } else if (world.keeper.settledAt(first) === undefined) {
    // Without a word from the server, the list is as it was when this node was last let in.
    const reported = await reportedGeneration(server, first).catch(() => Number.POSITIVE_INFINITY);
    if (reported >= first.generation) return;
  }
  while (!(await isSettled(world, readyVolume(world, request))))
    await pause(until, 'the coordinator of the volume has not let this node in');
}

async function isSettled({ keeper, server, node }: MountingWorld, volume: Volume): Promise<boolean> {
  if (volume.coordinator !== node) return (await reportedGeneration(server, volume)) >= volume.generation;
  return (keeper.settledAt(volume) ?? 0) >= volume.generation;
}

async function reportedGeneration(server: Pick<ApiClient, 'request'>, { id }: Volume): Promise<number> {
  const shown = VolumeShown.parse(await server.request('GET', `/v1/volumes/${id}`));
  return shown.report?.state === 'started' ? shown.report.generation : 0;
}

async function pause(until: number, what: string): Promise<void> {
  if (performance.now() > until)
    throw new SluiceError(
      'try_again',
      `${what} yet`,
      'see `sluice volume show`, and `sluice status` on its nodes',
    );
  await sleep(LOOK_EVERY_MS);
}

function notTheirs(): SluiceError {
  // The same words as for a volume that is not there would be no use: only root asks here.
  return new SluiceError(
    'refused',
    "the container belongs to another tenant than the volume's",
    'a volume is for containers of its own tenant',
  );
}
