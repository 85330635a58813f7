import fc from 'fast-check';
import type { DropEvent } from '../model/drop.ts';
import { createOutbox } from './drop-report.ts';

const event = (tag: number, ifindex = 0): DropEvent => ({ tag, ifindex }) as DropEvent;

describe('what waits to be told to the server', () => {
  it('is told in the order in which it came', () => {
    const outbox = createOutbox();
    for (const ifindex of [1, 2, 3]) outbox.add(event(1, ifindex));
    expect(outbox.take(2).map(({ ifindex }) => ifindex)).toEqual([1, 2]);
    expect(outbox.take(2).map(({ ifindex }) => ifindex)).toEqual([3]);
    expect(outbox.take(2)).toEqual([]);
  });

  it('is bounded, and holds something of everybody whatever one of them floods', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 2, max: 150 })), fc.nat(2_000), (others, flood) => {
        const outbox = createOutbox();
        for (let i = 0; i < flood; i++) outbox.add(event(1));
        for (const tag of others) outbox.add(event(tag));
        const first = outbox.take(others.length + 1).map(({ tag }) => tag);
        expect(first).toEqual(expect.arrayContaining(others));
        expect(outbox.take(100_000).length).toBeLessThanOrEqual(50);
      }),
    );
  });
});
