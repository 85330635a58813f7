import fc from 'fast-check';
import { pauseBeforeRestart } from './backoff.ts';

describe('pauseBeforeRestart', () => {
  it('doubles from 100 ms to 5 s for a daemon that dies at once', () => {
    let pause = 0;
    const pauses = Array.from({ length: 8 }, () => {
      pause = pauseBeforeRestart(pause, 0);
      return pause;
    });
    expect(pauses).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
  });

  it('begins anew after a daemon has lived well', () => {
    expect(pauseBeforeRestart(5_000, 10_000)).toBe(100);
  });

  it('always stays between both', () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.nat(100_000), (previous, lived) => {
        const pause = pauseBeforeRestart(previous, lived);
        expect(pause).toBeGreaterThanOrEqual(100);
        expect(pause).toBeLessThanOrEqual(5_000);
      }),
    );
  });
});
