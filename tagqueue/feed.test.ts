import { createFeed } from './feed.ts';

const never = new AbortController().signal;

describe('a feed', () => {
  it('gives every follower what it wants, from when it began', async () => {
    const feed = createFeed<number>();
    feed.offer([1]);
    const all = feed.follow(never);
    const even = feed.follow(never, (item) => item % 2 === 0);
    const [first, second] = [all.next(), even.next()];
    feed.offer([3, 4]);
    expect(await first).toMatchObject({ value: 3 });
    expect(await second).toMatchObject({ value: 4 });
    expect(await all.next()).toMatchObject({ value: 4 });
  });

  it('tells a slow follower how much it missed, and nothing of what it does not want', async () => {
    const feed = createFeed<string>();
    const mine = feed.follow(never, (item) => item === 'mine');
    const all = feed.follow(never);
    const begun = [mine.next(), all.next()];
    feed.offer(Array.from({ length: 5_000 }, () => 'theirs'));
    feed.offer(['mine']);
    await Promise.all(begun);
    expect(await begun[0]).toEqual({ done: false, value: 'mine' });
    for (let i = 1; i < 1_000; i++) await all.next();
    expect(await all.next()).toEqual({ done: false, value: { missed: 4_001 } });
  });

  it('ends with its signal', async () => {
    const stop = new AbortController();
    const last = createFeed<number>().follow(stop.signal).next();
    stop.abort();
    expect(await last).toEqual({ done: true, value: undefined });
  });
});
