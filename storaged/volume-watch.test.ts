import { describe, expect, it } from '@jest/globals';
import { silentLog } from '../model/log.ts';
import type { Volume } from '../model/volume.ts';
import type { BrickStanding, VolumeEvent } from '../model/volume-report.ts';
import { sampleVolume } from '../test/support/sample-volume.ts';
import type { GlusterCluster, GlusterDaemon } from './contract.ts';
import { watchVolumes } from './volume-watch.ts';

const fill = { totalBytes: 100, freeBytes: 50, totalInodes: 10, freeInodes: 9 };
const up: BrickStanding = { online: true, fill, healIndex: 'empty' };
const down: BrickStanding = { online: false, fill: null, healIndex: null };

function world(volume: Volume) {
  const orders: string[] = [];
  const events: string[] = [];
  let now = 0;
  let backlog = { pending: 0, splitBrain: 0 };
  const cluster = {
    revive: async () => orders.push('revive'),
    heal: async () => orders.push('heal'),
    healInfo: async () => {
      orders.push('healInfo');
      return backlog;
    },
  } as unknown as GlusterCluster;
  const daemon = { isAlive: () => true } as GlusterDaemon;
  const watch = watchVolumes({
    parts: { open: { gluster: { daemon, cluster }, bricks: undefined, mounts: undefined } },
    coordinated: () => [volume],
    tell: ({ what }: VolumeEvent) => events.push(what),
    news: () => undefined,
    now: () => now,
    log: silentLog,
  });
  return {
    orders,
    events,
    of: () => watch.of(volume.id),
    backlog: (pending: number, splitBrain = 0) => {
      backlog = { pending, splitBrain };
    },
    /** What the server answers, a second after the last. */
    async hears(...changes: readonly (readonly [number, BrickStanding])[]): Promise<void> {
      now += 1_000;
      const bricks = volume.bricks.map((_, index) => changes.find(([at]) => at === index)?.[1] ?? up);
      watch.hear([{ volume: volume.id, bricks }]);
      await new Promise(setImmediate);
    },
  };
}

describe('the volumes that a node coordinates', () => {
  it('are told of without asking Gluster, as long as all is well', async () => {
    const { hears, of, orders, events } = world(sampleVolume());
    for (let second = 0; second < 60; second += 1) await hears();
    expect(of()).toMatchObject({ heal: { pending: 0, splitBrain: 0 } });
    expect(of()?.online.every(Boolean)).toBe(true);
    expect([orders, events]).toEqual([[], []]);
  });

  it('have a brick that died started again when it is seen twice, and healed when it is back', async () => {
    const { hears, of, orders, events } = world(sampleVolume());
    await hears();
    await hears([1, down]);
    expect([of()?.online[1], orders, events]).toEqual([false, [], ['brick-down']]);
    await hears([1, down]);
    expect(orders).toEqual(['revive']);
    await hears();
    expect([orders, events]).toEqual([
      ['revive', 'heal', 'healInfo'],
      ['brick-down', 'brick-up'],
    ]);
  });

  it('are not said to be down before anybody knows', async () => {
    const { hears, of, orders, events } = world(sampleVolume());
    await hears([0, { online: null, fill: null, healIndex: null }]);
    await hears();
    expect([of()?.online[0], orders, events]).toEqual([true, [], []]);
  });

  it('have Gluster asked how much is to be healed while some brick says that something is', async () => {
    const { hears, of, orders, events, backlog } = world(sampleVolume());
    const pending: BrickStanding = { ...up, healIndex: 'pending' };
    backlog(7);
    for (let second = 0; second < 10; second += 1) await hears([0, pending]);
    expect(of()?.heal).toEqual({ pending: 7, splitBrain: 0 });
    expect(orders).toHaveLength(5);
    await hears();
    expect(of()?.heal).toEqual({ pending: 0, splitBrain: 0 });
    expect(events).toEqual(['heal-pending', 'healed']);
  });

  it('have it asked seldom where writes may only be under way, or nobody but people can heal', async () => {
    const { hears, orders, backlog } = world(sampleVolume());
    for (let second = 0; second < 60; second += 1) await hears([0, { ...up, healIndex: 'dirty' }]);
    expect(orders).toEqual(['healInfo', 'healInfo']);
    backlog(0, 1);
    for (let second = 0; second < 60; second += 1) await hears([0, { ...up, healIndex: 'pending' }]);
    expect(orders.length).toBeLessThanOrEqual(5);
  });
});
