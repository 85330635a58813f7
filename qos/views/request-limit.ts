/** Whether a container is so busy that new connections to its published ports are let in only so fast. Pure. */
import type { RequestLimit } from '../../model/request-limit.ts';

/** It comes back below this share of the threshold: around it, it would come and go. */
export const RELEASE_SHARE = 0.8;

/** @param load  averaged over the limit's own time */
export function isSlowed(limit: RequestLimit, load: number, before: boolean): boolean {
  return load > (before ? limit.load * RELEASE_SHARE : limit.load);
}

/**
 * The load to begin with where the past is not known: a container that was slowed when we last looked stays so until
 * it has been seen to be idle for a while.
 */
export function firstLoad(limit: RequestLimit, active: number, slowed: boolean): number {
  return slowed ? Math.max(limit.load, active) : 0;
}
