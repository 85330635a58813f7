import type { VolumeEvent } from '../model/volume-report.ts';
import { watchPool } from './pool-watch.ts';

describe('a pool that runs full', () => {
  it('is told of once, and again only after there was room', () => {
    const told: VolumeEvent[] = [];
    const look = watchPool((event) => told.push(event));
    const free = (percent: number): number => {
      look({ totalBytes: 100, promisedBytes: 0, freeBytes: percent });
      return told.length;
    };
    expect([50, 9, 8, 11, 9, 13, 9].map(free)).toEqual([0, 1, 1, 1, 1, 1, 2]);
    expect(told[0]).toMatchObject({ volume: null, what: 'pool-near-full' });
  });

  it('is none where there is no pool', () => {
    const told: VolumeEvent[] = [];
    watchPool((event) => told.push(event))(null);
    expect(told).toEqual([]);
  });
});
