/**
 * What the kernel is told of a brick that is mounted: how much it may hold, where quotas are counted, and how much it
 * keeps back. While a pool is short of room its thin bricks are as good as full.
 */
import { holdBackXfs, limitProject } from '../../linux/xfs.ts';
import { BLOCK_BYTES, heldBackBlocks, shapeOf } from '../../model/brick-size.ts';
import type { Pool } from '../../model/volume-report.ts';
import { mountedBricks, type Place, pointOf } from './observe.ts';
import { type BrickRecord, nameOf } from './records.ts';
import { isShort } from './room.ts';

export interface BrickHolding {
  /** Of bricks that were just mounted or have just grown. @throws SluiceError */
  settle(records: readonly BrickRecord[]): Promise<void>;
  /** Of thin ones that are mounted, when the pool has become short of room, or is no longer. @throws SluiceError */
  look(pool: Pool, mounted: readonly BrickRecord[]): Promise<void>;
}

export function holdBricks(place: Place): BrickHolding {
  const { inside } = place.daemon;
  let short = false;
  /** Nobody knows what an earlier process has last told the kernel, nor whether it came to it. */
  let isKnown = false;

  async function settle(records: readonly BrickRecord[]): Promise<void> {
    const mounted = await mountedBricks(place);
    for (const record of records) {
      const point = pointOf(place, nameOf(record));
      const blocks = shapeOf(record, record.groupBlocks).imageBytes / BLOCK_BYTES;
      await holdBackXfs(inside, point, short && record.thin ? blocks : heldBackBlocks(blocks));
      if (mounted.get(point)?.quota === true) await limitProject(inside, point, record);
    }
  }

  return {
    settle,
    async look(pool, mounted): Promise<void> {
      const before = short;
      short = isShort(pool, before);
      if (isKnown && short === before) return;
      const concerned = isKnown ? mounted.filter(({ thin }) => thin) : mounted;
      isKnown = false; // tried again, if one of them fails
      await settle(concerned);
      isKnown = true;
    },
  };
}
