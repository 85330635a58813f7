/**
 * What the kernel is told of a brick that is mounted: how much it may hold, where quotas are counted, and how much it
 * keeps back: the last of its room until it is full, and all of it while it is thin and its pool is short of room.
 */
import { holdBackXfs, limitProject } from '../../linux/xfs.ts';
import { BLOCK_BYTES, heldBackBlocks, SPARE_BLOCKS, shapeOf } from '../../model/brick-size.ts';
import type { Pool } from '../../model/volume-report.ts';
import { mountedBricks, type Place, pointOf } from './observe.ts';
import { type BrickRecord, nameOf } from './records.ts';
import { isShort } from './room.ts';

export interface SeenBrick {
  readonly record: BrickRecord;
  readonly freeBytes: number;
}

export interface BrickHolding {
  /** Of a brick that was just mounted or has just grown. @throws SluiceError */
  settle(brick: SeenBrick): Promise<void>;
  /** Of all that are mounted: when one has become full, or a pool short of room, or is no longer. @throws SluiceError */
  look(pool: Pool, mounted: readonly SeenBrick[]): Promise<void>;
}

const SPARE_BYTES = SPARE_BLOCKS * BLOCK_BYTES;
/** With less free nobody can begin anything: XFS wants some fifty blocks before it makes a file. */
const FULL_BELOW_BYTES = 128 * BLOCK_BYTES;

export function holdBricks(place: Place): BrickHolding {
  const { inside } = place.daemon;
  let short = false;
  /** Bricks that were full, and have been given the last of their room. */
  const exhausted = new Set<string>();
  /** What the kernel was told; nobody knows what an earlier process has told it. */
  const told = new Map<string, string>();

  async function tell({ record, freeBytes }: SeenBrick): Promise<void> {
    const name = nameOf(record);
    const point = pointOf(place, name);
    const blocks = shapeOf(record, record.groupBlocks).imageBytes / BLOCK_BYTES;
    const spare = exhausted.has(name) ? 0 : SPARE_BLOCKS;
    // Who deletes on a pool that is short of room may use that room again, and has a little to begin with.
    const all = Math.floor(Math.max(freeBytes - SPARE_BYTES, 0) / BLOCK_BYTES);
    await holdBackXfs(inside, point, heldBackBlocks(blocks) + (short && record.thin ? all : spare));
    if ((await mountedBricks(place)).get(point)?.quota === true) await limitProject(inside, point, record);
    told.set(name, stateOf(record));
  }

  const stateOf = (record: BrickRecord): string =>
    short && record.thin ? 'short' : `exhausted ${exhausted.has(nameOf(record))}`;

  return {
    settle: tell,
    async look(pool, mounted): Promise<void> {
      short = isShort(pool, short);
      for (const brick of mounted) {
        const name = nameOf(brick.record);
        if (told.has(name) && brick.freeBytes < FULL_BELOW_BYTES) exhausted.add(name);
        else if (brick.freeBytes > 2 * SPARE_BYTES) exhausted.delete(name);
        if (told.get(name) !== stateOf(brick.record)) await tell(brick);
      }
    },
  };
}
