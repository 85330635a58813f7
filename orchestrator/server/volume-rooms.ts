/** How much room storage nodes have for bricks: from their reports, and from what they have not told of yet. Pure. */
import { brickNeed, shapeOf, THIN_START_BYTES } from '../../model/brick-size.ts';
import type { ClusterNode } from '../../model/cluster.ts';
import type { NodeName } from '../../model/names.ts';
import type { Volume } from '../../model/volume.ts';
import type { Place } from './volume-placement.ts';
import { brickKey, type NodeStorage } from './volume-reports.ts';

export interface RoomsInput {
  /** Nodes' last words. */
  readonly told: readonly NodeStorage[];
  readonly nodes: readonly ClusterNode[];
  /** All there are; those on their way out still hold room. */
  readonly volumes: readonly Volume[];
  /** How many times its room a pool may promise to thin volumes. */
  readonly overcommit: number;
}

/**
 * Storage nodes that can be asked to make a brick, with what they may promise to it.
 *
 * A thin brick takes its room as it fills: all promises together may be `overcommit` times what there is. A reserved
 * one takes its room at once, so it must be free besides. As the node itself sees it (poolRefusal in brick-size.ts).
 */
export function placesFor(
  { thin }: Pick<Volume, 'thin'>,
  { told, nodes, volumes, overcommit }: RoomsInput,
): Place[] {
  return told.flatMap((one): Place[] => {
    const known = nodes.find(({ node }) => node === one.node);
    if (known === undefined || known.fenced || !one.reachable || one.pool === null || one.address === null)
      return [];
    const { totalBytes, freeBytes } = one.pool;
    const awaited = bricksToCome(one, volumes);
    const left = Math.floor(totalBytes * overcommit) - promisedBy(one, volumes, awaited.all);
    const free = freeBytes - awaited.reserved;
    const reservable = Math.min(left, free);
    const promisable = free < THIN_START_BYTES ? 0 : left;
    const room = thin ? promisable : reservable;
    return [{ node: one.node, address: one.address, zone: known.zone, room }];
  });
}

/** What a pool has promised altogether, in parts of what it has; thin volumes make it more than 1. */
export function commitmentOf(one: NodeStorage, volumes: readonly Volume[]): number {
  if (one.pool === null || one.pool.totalBytes === 0) return 0;
  return promisedBy(one, volumes, bricksToCome(one, volumes).all) / one.pool.totalBytes;
}

function promisedBy(one: NodeStorage, volumes: readonly Volume[], awaited: number): number {
  const wanted = bricksOn(one.node, volumes).reduce(
    (sum, { volume, index }) => sum + imageOf(volume, index),
    0,
  );
  return Math.max((one.pool?.promisedBytes ?? 0) + awaited, wanted);
}

/** What a volume's brick takes of its pool. */
export function imageOf(volume: Volume, index: number): number {
  return shapeOf(brickNeed(volume, index)).imageBytes;
}

/** Bytes of bricks that the node was asked for and has not yet. */
function bricksToCome(one: NodeStorage, volumes: readonly Volume[]): { all: number; reserved: number } {
  let all = 0;
  let reserved = 0;
  for (const { volume, index, bytes } of bricksOn(one.node, volumes)) {
    const report = one.bricks.get(brickKey(volume.id, index));
    const has = report?.state === 'ready' ? (report.fill?.totalBytes ?? bytes) : 0;
    const missing = bytes > has ? imageOf(volume, index) - has : 0;
    all += missing;
    if (!volume.thin) reserved += missing;
  }
  return { all, reserved };
}

function bricksOn(
  node: NodeName,
  volumes: readonly Volume[],
): { readonly volume: Volume; readonly index: number; readonly bytes: number }[] {
  return volumes.flatMap((volume) =>
    volume.bricks.flatMap((brick, index) =>
      brick.node === node ? [{ volume, index, bytes: brick.bytes }] : [],
    ),
  );
}
