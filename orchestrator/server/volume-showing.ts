/** Volumes as they are told: what is wanted of them, and what nodes have last said. */
import { ClusterNode } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import type { NodeName } from '../../model/names.ts';
import type { Volume } from '../../model/volume.ts';
import type { BrickReport, VolumeReport } from '../../model/volume-report.ts';
import type { VolumeShown } from '../../model/volume-request.ts';
import { PATHS, readAll } from './layout.ts';
import type { Cluster } from './operation.ts';
import type { Principal } from './principal.ts';
import { forTenants } from './tenant-words.ts';
import { brickKey, type NodeStorage, type VolumeReports } from './volume-reports.ts';
import { commitmentOf } from './volume-rooms.ts';
import { answerOf } from './volume-steps.ts';
import { allVolumes, findVolume, type Growth, growthOf, type KeptVolume } from './volume-store.ts';
import { poolWarnings, warningsOf } from './volume-warnings.ts';
import { whenSettled } from './when-settled.ts';

export async function shown(cluster: Cluster, kept: KeptVolume, who: Principal): Promise<VolumeShown> {
  const all = who.role === 'tenant' ? [] : (await allVolumes(cluster.store)).map(({ one }) => one);
  const nodes = new Set((await readAll(cluster.store, PATHS.nodes, ClusterNode)).map(({ node }) => node));
  return shownAmong(cluster, kept, await growthOf(cluster.store, kept.one.id), who, { all, nodes });
}

export interface Around {
  /** All volumes, where pools are to be judged by them. */
  readonly all: readonly Volume[];
  readonly nodes: ReadonlySet<NodeName>;
}

export function shownAmong(
  { storage }: Pick<Cluster, 'storage'>,
  kept: KeptVolume,
  growth: Growth | undefined,
  who: Principal,
  { all, nodes }: Around,
): VolumeShown {
  const volume = kept.one;
  const coordinator = storage.node(volume.coordinator);
  const isTenant = who.role === 'tenant';
  const words = isTenant ? forTenants : (text: string): string => text;
  const told = coordinator?.volumes.get(volume.id) ?? null;
  const report = told && { ...told, why: told.why && words(told.why) };
  const reachable = coordinator?.reachable ?? false;
  const bricks = volume.bricks.map(({ node }, index) => ({
    node,
    brick: storage.node(node)?.bricks.get(brickKey(volume.id, index)) ?? null,
    online: onlineOf(storage.node(node), nodes.has(node), report, volume.id, index),
  }));
  const why = storage.whyOf(volume.id);
  const standing = {
    ...{ volume, report, reachable, why: why && words(why) },
    online: bricks.map(({ online }) => online),
  };
  const pools = volume.bricks.flatMap(({ node }) => storage.node(node) ?? []);
  const unique = [...new Map(pools.map((one) => [one.node, one])).values()];
  return {
    volume: isTenant ? forTenant(volume) : volume,
    reachable,
    settled: isSettled(kept, growth, storage),
    report,
    bricks: isTenant
      ? bricks.map((one) => ({ ...one, brick: one.brick && brickForTenant(one.brick) }))
      : bricks,
    mounts: mountsOf(volume, storage.nodes()),
    events: storage
      .eventsOf(volume.id)
      .filter((event) => !isTenant || event.volume !== null)
      .map((event) => ({ ...event, text: words(event.text) })),
    warnings: [
      ...warningsOf(standing),
      ...(isTenant ? [] : poolWarnings(unique.map((one) => ({ one, commitment: commitmentOf(one, all) })))),
    ],
  };
}

/** Waits until nodes have done what was asked. @throws SluiceError `storage_failed` when that could not be had */
export function shownWhenSettled(
  cluster: Cluster,
  written: KeptVolume,
  who: Principal,
  waitMs: number,
  signal: AbortSignal,
): Promise<VolumeShown> {
  const { store, storage } = cluster;
  const wanted = written.one;
  const look = async (): Promise<VolumeShown> => {
    const kept = await findVolume(store, wanted.id);
    const why = storage.whyOf(wanted.id);
    const failed = why !== undefined && who.role === 'tenant' ? forTenants(why) : why;
    const isGoing = kept === undefined || kept.one.phase === 'removing';
    if (wanted.phase !== 'removing' && isGoing)
      throw couldNot('made, and nothing of it is kept', failed ?? 'it was deleted meanwhile');
    if (kept === undefined) return { ...(await shown(cluster, written, who)), settled: true };
    if (kept.one.sizeBytes < wanted.sizeBytes && failed !== undefined)
      throw couldNot('grown, and is as it was', failed);
    return shown(cluster, kept, who);
  };
  return whenSettled(storage.news, look, waitMs, signal);
}

/** Whoever has it mounted now, as far as that is known. */
export function mountsOf({ id }: Pick<Volume, 'id'>, told: readonly NodeStorage[]): VolumeShown['mounts'] {
  return told.flatMap(({ node, at, mounts }) =>
    mounts.filter(({ volume }) => volume === id).map((mount) => ({ node, at, mount })),
  );
}

function isSettled(
  { one, revision }: KeptVolume,
  growth: Growth | undefined,
  storage: VolumeReports,
): boolean {
  const coordinator = storage.node(one.coordinator);
  if (one.phase === 'creating' || one.phase === 'removing' || coordinator?.reachable !== true) return false;
  const order = coordinator.volumes.get(one.id);
  if (order === undefined || order.generation < one.generation) return false;
  if (one.phase === 'deleted') return order.state === 'stopped';
  if (order.state !== 'started') return false;
  const world = { told: (node: NodeName): NodeStorage | undefined => storage.node(node) };
  const grown =
    growth === undefined ||
    one.bricks.every((_, i) => answerOf(one, i, growth.generation, world)?.state === 'ready');
  // Those that have it mounted hold its limits.
  const users = storage.nodes().filter(({ mounts }) => mounts.some(({ volume }) => volume === one.id));
  return grown && users.every((user) => !user.reachable || user.revision >= revision);
}

/** What is silent serves nobody, whatever was known of it last; of its own bricks a node knows before the coordinator. */
function onlineOf(
  told: NodeStorage | undefined,
  isOfCluster: boolean,
  report: VolumeReport | null,
  volume: Volume['id'],
  index: number,
): boolean | null {
  if (!isOfCluster) return false;
  const own = report?.state === 'started' ? told?.bricks.get(brickKey(volume, index))?.online : undefined;
  const online = own ?? report?.online[index];
  if (told === undefined) return online ?? null;
  return told.reachable ? (online ?? null) : false;
}

/** Where storage nodes listen is none of a tenant's business. */
function forTenant(volume: Volume): Volume {
  const hidden = '0.0.0.0' as Volume['bricks'][number]['address'];
  return { ...volume, bricks: volume.bricks.map((brick) => ({ ...brick, address: hidden })) };
}

function brickForTenant({ path: _, why, ...brick }: BrickReport): BrickReport {
  return { ...brick, why: why && forTenants(why) };
}

function couldNot(what: string, why: string): SluiceError {
  return new SluiceError(
    'storage_failed',
    `it could not be ${what}: ${why}`,
    'see the log of storaged on that node; then try again',
  );
}
