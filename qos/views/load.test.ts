import { average, NO_LOAD, nextLoad } from './load.ts';
import { firstLoad, isSlowed } from './request-limit.ts';

describe('a load average', () => {
  it('is after one minute of work what the kernel has then: 1 - 1/e of it', () => {
    let load = NO_LOAD;
    for (let second = 0; second < 60; second += 5) load = nextLoad(load, 4, 5);
    expect(load.one).toBeCloseTo(4 * (1 - Math.exp(-1)), 9);
    expect(load.fifteen).toBeCloseTo(4 * (1 - Math.exp(-60 / 900)), 9);
  });

  it('does not depend on how often one looks', () => {
    let often = 1;
    for (let look = 0; look < 20; look++) often = average(often, 3, 0.5, 60);
    expect(often).toBeCloseTo(average(1, 3, 10, 60), 9);
  });

  it('falls to nothing in time', () => {
    expect(nextLoad({ one: 100, five: 100, fifteen: 100 }, 0, 3_600).one).toBeLessThan(1e-9);
  });
});

describe('a request limit', () => {
  const limit = { load: 10, newPerSecond: 5, averageSeconds: 60 };

  it('holds from beyond its threshold until well below it', () => {
    const loads = [9.9, 10, 10.1, 9, 8.1, 8, 7.9, 9.9];
    let slowed = false;
    const seen = loads.map((load) => {
      slowed = isSlowed(limit, load, slowed);
      return slowed;
    });
    expect(seen).toEqual([false, false, true, true, true, false, false, false]);
  });

  it('goes on holding after a restart, where only the kernel knows that it did', () => {
    expect(isSlowed(limit, firstLoad(limit, 0, true), true)).toBe(true);
    expect(isSlowed(limit, firstLoad(limit, 50, false), false)).toBe(false);
  });
});
