/** How much room a pool has, as a report says it, and when it has too little for what it has promised. Pure. */
import type { Pool } from '../../model/volume-report.ts';

export interface PoolFacts {
  /** Of the file system below it. */
  readonly totalBytes: number;
  readonly freeBytes: number;
  /** Per cent of it that are left free. */
  readonly reserve: number;
  readonly images: readonly {
    /** As it is meant to be. */
    readonly bytes: number;
    readonly takenBytes: number;
    readonly thin: boolean;
  }[];
}

/** Others may write to the file system, too: what they have taken is no room of the pool's. */
export function poolOf({ totalBytes, freeBytes, reserve, images }: PoolFacts): Pool {
  const kept = Math.ceil((totalBytes * reserve) / 100);
  const sum = (part: (image: PoolFacts['images'][number]) => number): number =>
    images.reduce((all, image) => all + part(image), 0);
  const taken = sum(({ takenBytes }) => takenBytes);
  const due = sum(({ bytes, takenBytes, thin }) => (thin ? 0 : Math.max(bytes - takenBytes, 0)));
  const free = Math.max(freeBytes - kept - due, 0);
  return {
    totalBytes: Math.min(totalBytes - kept, taken + due + free),
    promisedBytes: sum(({ bytes }) => bytes),
    freeBytes: free,
  };
}

/** Of a pool's room, what must be free again before thin bricks are written to again: per cent. */
const ENOUGH = 1;

/**
 * Whether thin bricks must take no more: what is written to them would be believed, and lost when it comes to the disk.
 * What the pool keeps free is for what was believed before.
 */
export function isShort({ totalBytes, freeBytes }: Pool, was: boolean): boolean {
  return was ? freeBytes < (totalBytes * ENOUGH) / 100 : freeBytes === 0;
}
