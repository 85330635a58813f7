/** `sluice volume recover` on a node: finds the volume and its bricks here, also when glusterd cannot be started, and reads them. */
import { isThere } from '../linux/directories.ts';
import {
  findLasting,
  insideLasting,
  type LastingNamespaces,
  pathInside,
} from '../linux/lasting-namespaces.ts';
import { attachLoop } from '../linux/loop.ts';
import { mountsOf } from '../linux/mount-table.ts';
import { run, runOk } from '../linux/process.ts';
import { SluiceError } from '../model/errors.ts';
import type { NodeName, TenantName } from '../model/names.ts';
import { glusterName, replicaSetsOf, type Volume, type VolumeId } from '../model/volume.ts';
import type { RecoverLine, RecoverWish } from '../model/volume-request.ts';
import { filesOf, nameOf } from './bricks/records.ts';
import type { GlusterDaemon } from './contract.ts';
import { markerOf, placeOf } from './gluster/namespaces.ts';
import { type RecoveryBrick, type RecoveryResult, recovering } from './gluster/recover.ts';
import { glusterDaemon, type PartsOptions, storagePlaces } from './open-parts.ts';
import { refusalOf, type ServingWorld, servingOf } from './serving.ts';

export interface RecoverPlaces
  extends Pick<PartsOptions, 'places' | 'address' | 'pool' | 'storage' | 'translator'> {
  readonly node: NodeName;
}

/**
 * @param known  the volumes of the last known cluster
 * @throws SluiceError `refused` while Gluster serves it, or bricks are missing; `not_found`, `conflict`, `storage_failed`
 */
export async function* recoverHere(
  options: RecoverPlaces,
  wish: RecoverWish,
  known: ReadonlyMap<VolumeId, Volume>,
  signal: AbortSignal,
): AsyncGenerator<RecoverLine> {
  const volume = volumeOf(wish, known);
  const { gluster } = storagePlaces(options.places);
  const daemon = await glusterDaemon(options);
  // Without glusterd its namespaces are enough, and they are made first.
  await daemon.ensure().catch(() => undefined);
  const namespaces = await findLasting({ marker: markerOf(gluster), lockFile: placeOf(gluster).lockFile });
  if (namespaces === undefined)
    throw new SluiceError(
      'storage_failed',
      'bricks cannot be mounted: there are no namespaces for them',
      'see the log',
    );
  const world = { node: options.node, daemon, namespaces };
  await refuseServed(volume, world, '');
  const taken: string[] = [];
  try {
    const bricks = await bricksOf(volume, wish, { options, daemon, namespaces, taken });
    const request = {
      volume: glusterName(volume.id),
      bricks,
      into: wish.to,
      acceptOld: wish.acceptOld,
      partly: true,
    };
    const work = recovering(request, signal);
    let step = await work.next();
    for (; !step.done; step = await work.next()) yield { progress: step.value };
    await refuseServed(volume, world, `; it has begun to while it was read, so do not trust ${wish.to}`);
    yield { recovered: shown(step.value) };
  } finally {
    for (const point of taken) await run(insideLasting(namespaces, ['umount', point]));
  }
}

/** @throws SluiceError `refused` while somebody may write to the volume */
async function refuseServed(volume: Volume, world: ServingWorld, more: string): Promise<void> {
  const refusal = refusalOf(volume, await servingOf(volume, world));
  if (refusal !== undefined) throw new SluiceError(refusal.code, refusal.message + more, refusal.hint);
}

function shown({
  files,
  bytes,
  refused,
}: RecoveryResult): Extract<RecoverLine, { recovered: object }>['recovered'] {
  return { files, bytes, refused: refused.map(({ path, why }) => ({ path: `/${path}`, why })) };
}

/** @throws SluiceError `not_found`, `conflict` where the name is not enough */
function volumeOf({ volume: word, tenant }: RecoverWish, known: ReadonlyMap<VolumeId, Volume>): Volume {
  const fits = (one: Volume): boolean =>
    one.id === word || ((one.name as string) === word && (tenant === undefined || one.tenant === tenant));
  const [found, ...others] = [...known.values()].filter(fits);
  if (found === undefined)
    throw new SluiceError('not_found', `this node has not heard of a volume ${word}`, 'name it by its id');
  if (others.length === 0) return found;
  const owners: readonly TenantName[] = [found, ...others].map((one) => one.tenant);
  throw new SluiceError('conflict', `${word} is a volume of ${owners.join(', ')}`, 'say whose: --tenant');
}

interface Here {
  readonly options: RecoverPlaces;
  readonly daemon: GlusterDaemon;
  readonly namespaces: LastingNamespaces;
  /** Mount points inside that are ours to take off. */
  readonly taken: string[];
}

async function bricksOf(volume: Volume, wish: RecoverWish, here: Here): Promise<readonly RecoveryBrick[]> {
  const sets = replicaSetsOf(volume);
  const bricks: RecoveryBrick[] = [];
  for (const [index, brick] of volume.bricks.entries()) {
    const brought = wish.bricks[String(index)];
    const isOurs = brick.node === here.options.node;
    const directory =
      brought ?? (isOurs ? await brickHere(nameOf({ volume: volume.id, index }), here) : null);
    const set = sets.findIndex((one) => one.includes(brick));
    bricks.push({ arbiter: brick.role === 'arbiter', set, directory });
  }
  return bricks;
}

/** Where it is mounted for Gluster; else it is mounted here, to be read. @returns null when its image is gone */
async function brickHere(name: string, { options, daemon, namespaces, taken }: Here): Promise<string | null> {
  const served = `${daemon.brickRoot}/${name}`;
  const isServed = mountsOf(namespaces.holder.pid).some((one) => one.point === served);
  // Elsewhere than where it would be served: nobody shall take it for that.
  const point = isServed ? served : `${storagePlaces(options.places).gluster}/recovery/${name}`;
  if (!isServed) {
    const image = filesOf(options.pool ?? '', name).image;
    if (!isThere(image)) return null;
    using loop = attachLoop(image);
    const mount = ['mount', '-n', '-t', 'xfs', '-o', 'X-mount.mkdir=0700,ro,nodev,nosuid,noexec'] as const;
    await runOk(insideLasting(namespaces, [...mount, loop.device, point]));
    taken.push(point);
  }
  return pathInside(namespaces, `${point}/brick`);
}
