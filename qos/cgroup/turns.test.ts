import { createTurns } from './turns.ts';

it('lets so many work at once, in the order in which they came, also after one has failed', async () => {
  const turns = createTurns(2);
  const order: string[] = [];
  let working = 0;
  let most = 0;
  const work = (name: string) => async (): Promise<string> => {
    working += 1;
    most = Math.max(most, working);
    order.push(name);
    await new Promise((resolve) => setImmediate(resolve));
    working -= 1;
    if (name === 'b') throw new Error('b');
    return name;
  };
  const all = await Promise.allSettled(['a', 'b', 'c', 'd', 'e'].map((name) => turns(work(name))));
  expect(all.map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
    'fulfilled',
    'fulfilled',
  ]);
  expect({ order, most, working }).toEqual({ order: ['a', 'b', 'c', 'd', 'e'], most: 2, working: 0 });
  expect(await turns(work('f'))).toBe('f');
});
