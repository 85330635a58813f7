/** How much room a pool has, as a report says it. Pure. */
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
