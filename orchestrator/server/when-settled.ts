/** Answers that wait until nodes have done what they were asked for. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { News } from './news.ts';

/** Looks again whenever there is news of nodes, until what is seen is settled or the time is over. */
export async function whenSettled<T extends { readonly settled: boolean }>(
  news: News,
  look: () => Promise<T>,
  waitMs: number,
  signal: AbortSignal,
): Promise<T> {
  const until = performance.now() + waitMs;
  for (;;) {
    const began = performance.now();
    const since = news.count;
    const answer = await look();
    const now = performance.now();
    if (answer.settled || now >= until) return answer;
    if (!(await news.wait(since, until - now, signal))) return answer;
    // In a large cluster there is always news: no more than a third of the time is spent with looking.
    await sleep(Math.max(0, Math.min(2 * (now - began), until - performance.now())));
  }
}
