import fc from 'fast-check';
import { roundsForAll, takeTurn } from './rounds.ts';

const peersOf = (names: readonly string[]): { node: string }[] => names.map((node) => ({ node }));
const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 40 });
const most = fc.integer({ min: 1, max: 12 });

describe('rounds', () => {
  it('give everybody a turn within as many rounds as it takes, and nobody two in one', () => {
    fc.assert(
      fc.property(names, most, fc.option(fc.string(), { nil: undefined }), (all, k, start) => {
        const met = new Set<string>();
        let last = start;
        for (let round = 0; round < roundsForAll(all.length, k); round++) {
          const turn = takeTurn(peersOf(all), last, k);
          const taken = turn.peers.map(({ node }) => node);
          expect(taken.length).toBe(Math.min(k, all.length));
          expect(new Set(taken).size).toBe(taken.length);
          for (const node of taken) met.add(node);
          last = turn.last;
        }
        expect(met).toEqual(new Set(all));
      }),
    );
  });

  it('go on when whoever was last is gone', () => {
    expect(takeTurn(peersOf(['a', 'c', 'd']), 'b', 2).peers).toEqual(peersOf(['c', 'd']));
    expect(takeTurn(peersOf(['a']), 'b', 2)).toEqual({ peers: peersOf(['a']), last: 'a' });
    expect(takeTurn(peersOf([]), 'b', 2)).toEqual({ peers: [], last: undefined });
  });
});
