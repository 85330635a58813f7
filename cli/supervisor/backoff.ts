/** How long to wait before a daemon that ended is started again. */

const SHORTEST_MS = 100;
const LONGEST_MS = 5_000;
/** Who lived this long had started well. */
const WELL_MS = 10_000;

/**
 * @param previousMs  the pause before the start that has just ended; 0 for the first
 * @param livedMs     how long the daemon lived since then
 */
export function pauseBeforeRestart(previousMs: number, livedMs: number): number {
  if (previousMs === 0 || livedMs >= WELL_MS) return SHORTEST_MS;
  return Math.min(Math.max(previousMs * 2, SHORTEST_MS), LONGEST_MS);
}
