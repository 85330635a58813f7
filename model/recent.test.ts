import fc from 'fast-check';
import { createRecent } from './recent.ts';

describe('what is kept of recent events', () => {
  it('is the last few of each key, in the order in which they came', () => {
    const recent = createRecent<string>(2, 3);
    for (const [key, item] of [
      ['a', 'a1'],
      ['b', 'b1'],
      ['a', 'a2'],
      ['a', 'a3'],
    ] as const) {
      recent.add(key, item);
    }
    expect(recent.all()).toEqual(['b1', 'a2', 'a3']);
    expect(recent.of('a')).toEqual(['a2', 'a3']);
    expect(recent.of('nobody')).toEqual([]);
  });

  it('never grows beyond its bounds, and no flood pushes out what is another’s', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 9 })),
        fc.integer({ min: 1, max: 500 }),
        (others, flood) => {
          const recent = createRecent<number>(5, 11);
          for (const key of others) recent.add(key, key);
          const before = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((key) => recent.of(key));
          for (let i = 0; i < flood; i++) recent.add('flood', i);
          expect([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((key) => recent.of(key))).toEqual(before);
          expect(recent.all().length).toBeLessThanOrEqual(5 * 11);
        },
      ),
    );
  });

  it('forgets the key that has been quiet for longest', () => {
    const recent = createRecent<string>(5, 2);
    for (const key of ['a', 'b', 'a', 'c']) recent.add(key, key);
    expect(recent.all()).toEqual(['a', 'a', 'c']);
  });
});
