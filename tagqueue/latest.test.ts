import { createLatest } from './latest.ts';

describe('a followed value', () => {
  it('is told at once, and again when it has changed', async () => {
    const latest = createLatest(1);
    const follower = latest.follow(new AbortController().signal);
    expect(await follower.next()).toEqual({ done: false, value: 1 });
    latest.set(2);
    expect(await follower.next()).toEqual({ done: false, value: 2 });
    expect(latest.get()).toBe(2);
  });

  it('skips what was replaced before anybody looked', async () => {
    const latest = createLatest('a');
    const follower = latest.follow(new AbortController().signal);
    await follower.next();
    latest.set('b');
    latest.set('c');
    expect(await follower.next()).toEqual({ done: false, value: 'c' });
  });

  it('ends with the signal, also while nothing changes', async () => {
    const end = new AbortController();
    const follower = createLatest(1).follow(end.signal);
    await follower.next();
    const next = follower.next();
    end.abort();
    expect(await next).toEqual({ done: true, value: undefined });
  });
});
