/**
 * What the kernel is told of a brick that is mounted: how much it may hold, where quotas are counted, and how much it
 * keeps back: all it has while it is thin and its pool is short of room.
 */
import { holdBackXfs, limitProject, noteSize } from '../../linux/xfs.ts';
import { BLOCK_BYTES, heldBackBlocks, roomIn, shapeOf } from '../../model/brick-size.ts';
import type { Pool } from '../../model/volume-report.ts';
import { mountedBricks, type Place, pointOf } from './observe.ts';
import { type BrickRecord, nameOf } from './records.ts';
import { isShort } from './room.ts';

export interface SeenBrick {
  readonly record: BrickRecord;
  /** Besides the spare. */
  readonly freeBytes: number;
}

export interface BrickHolding {
  /** Of a brick that was just mounted or has just grown. @throws SluiceError */
  settle(brick: SeenBrick): Promise<void>;
  /** Of all that are mounted: when the pool has become short of room, or is no longer. */
  look(pool: Pool, mounted: readonly SeenBrick[]): Promise<void>;
}

export function holdBricks(place: Place): BrickHolding {
  const { inside } = place.daemon;
  let short = false;
  /** What the kernel was told; nobody knows what an earlier process has told it. */
  const told = new Map<string, string>();

  async function tell({ record, freeBytes }: SeenBrick): Promise<void> {
    const name = nameOf(record);
    const point = pointOf(place, name);
    const blocks = shapeOf(record, record.groupBlocks).imageBytes / BLOCK_BYTES;
    // Who deletes on a pool that is short of room may use that room again, and has the spare to begin with.
    const all = short && record.thin ? Math.floor(freeBytes / BLOCK_BYTES) : 0;
    await holdBackXfs(inside, point, heldBackBlocks(blocks) + all);
    if ((await mountedBricks(place)).get(point)?.quota === true) await limitProject(inside, point, record);
    told.set(name, stateOf(record));
  }

  const stateOf = ({ thin }: BrickRecord): string => (short && thin ? 'short' : 'ample');

  return {
    async settle(brick): Promise<void> {
      const { record } = brick;
      const room = roomIn(shapeOf(record, record.groupBlocks));
      await noteSize(inside, pointOf(place, nameOf(record)), room);
      await tell(brick);
    },
    async look(pool, mounted): Promise<void> {
      short = isShort(pool, short);
      for (const brick of mounted) {
        const name = nameOf(brick.record);
        // One whose disk does not work cannot be told, and must not keep the others from it; it is tried again.
        if (told.get(name) !== stateOf(brick.record)) await tell(brick).catch(() => undefined);
      }
    },
  };
}
