/** Tells a follower of this node's mounts what they are whenever something has changed, and never more often than it helps. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeMounts } from '../model/mount-limits.ts';

/**
 * Between two pictures. Each asks every client what it holds: with many mounts that change at once, one for each change
 * would be the square of their number.
 */
export const PICTURES_EVERY_MS = 100;

/**
 * The first change is told at once; what changes within the pause after it is told together.
 * @param news  an item now and after changes; those that come too fast are one (`Latest.follow`)
 * @param all   read anew for each picture, because what is held is asked of the clients
 */
export async function* mountNews(
  news: AsyncIterable<unknown>,
  all: () => Promise<NodeMounts>,
  signal: AbortSignal,
): AsyncGenerator<NodeMounts> {
  for await (const _ of news) {
    yield await all();
    await sleep(PICTURES_EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined);
  }
}
