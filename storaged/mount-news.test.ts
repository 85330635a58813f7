import type { NodeMounts } from '../model/mount-limits.ts';
import { createLatest } from '../tagqueue/latest.ts';
import { mountNews } from './mount-news.ts';

it('tells the first change at once, and a hundred that follow it together', async () => {
  const changes = createLatest(0);
  const ending = new AbortController();
  let asked = 0;
  const all = async (): Promise<NodeMounts> => {
    asked++;
    return { mounts: [], shares: [] };
  };
  const pictures = mountNews(changes.follow(ending.signal), all, ending.signal);
  await pictures.next();
  const burst = (async (): Promise<void> => {
    for (let change = 1; change <= 100; change++) {
      changes.set(change);
      await Promise.resolve();
    }
  })();
  await Promise.all([burst, pictures.next()]);
  expect(asked).toBe(2);
  ending.abort();
  expect((await pictures.next()).done).toBe(true);
});
