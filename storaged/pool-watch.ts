/** Says once that the room for bricks runs out, and again only when there was enough in between. */
import type { Pool, VolumeEvent } from '../model/volume-report.ts';

/** Below this part of the pool that is free it is nearly full. */
const NEARLY_FULL = 0.1;
const ROOM_AGAIN = 0.12;

export function watchPool(tell: (event: VolumeEvent) => void): (pool: Pool | null) => void {
  let isNearlyFull = false;
  return (pool) => {
    if (pool === null || pool.totalBytes === 0) return;
    const free = pool.freeBytes / pool.totalBytes;
    const now = free < (isNearlyFull ? ROOM_AGAIN : NEARLY_FULL);
    if (now && !isNearlyFull) {
      const text = `the pool of bricks has ${Math.floor(free * 100)} % left, and thin volumes may need more`;
      tell({ at: Date.now(), volume: null, what: 'pool-near-full', text });
    }
    isNearlyFull = now;
  };
}
