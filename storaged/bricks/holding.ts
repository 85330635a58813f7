/** Keeps thin bricks from taking what their pool has not: while it is short of room they are as good as full. */
import { holdBackXfs } from '../../linux/xfs.ts';
import { BLOCK_BYTES, heldBackBlocks, shapeOf } from '../../model/brick-size.ts';
import type { Pool } from '../../model/volume-report.ts';
import { type Place, pointOf } from './observe.ts';
import { type BrickRecord, nameOf } from './records.ts';
import { isShort } from './room.ts';

export interface ThinGuard {
  /** Of a brick that was just mounted or has just grown. @throws SluiceError */
  settle(record: BrickRecord): Promise<void>;
  /** Of all that are mounted, when the pool has become short of room, or is no longer. @throws SluiceError */
  look(pool: Pool, mounted: readonly BrickRecord[]): Promise<void>;
}

export function guardThin(place: Place): ThinGuard {
  let short = false;
  /** Nobody knows what an earlier process has last told the kernel. */
  let isKnown = false;

  async function settle(record: BrickRecord): Promise<void> {
    const blocks = shapeOf(record, record.groupBlocks).imageBytes / BLOCK_BYTES;
    const held = short && record.thin ? blocks : heldBackBlocks(blocks);
    await holdBackXfs(place.daemon.inside, pointOf(place, nameOf(record)), held);
  }

  return {
    settle,
    async look(pool, mounted): Promise<void> {
      const before = short;
      short = isShort(pool, before);
      if (isKnown && short === before) return;
      isKnown = false; // tried again, if one of them fails
      for (const record of mounted) if (record.thin) await settle(record);
      isKnown = true;
    },
  };
}
