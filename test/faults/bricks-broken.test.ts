/** Disks that stop working under a brick: a real one that answers with errors, and a real one that does not answer at all. */
import { truncateSync } from 'node:fs';
import { type Argv, isAlive, startDaemon } from '../../linux/process.ts';
import { createBrickKeeper } from '../../storaged/bricks/keeper.ts';
import type { BrickKeeper } from '../../storaged/contract.ts';
import { line } from '../attacks/attack.ts';
import { until } from '../runtimes/until.ts';
import { type BrickWorld, brick, brickWorld, VOLUME } from '../support/brick-world.ts';

let world: BrickWorld;

beforeEach(async () => {
  world = await brickWorld('bkbroken');
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
  expect(world.left()).toEqual([]);
});

const brokenBy = async (keeper: BrickKeeper): Promise<string | undefined> => (await keeper.held())[0]?.broken;

describe('a disk', () => {
  it('that is full is none that is broken', async () => {
    const keeper = world.keeper({ health: { everyMs: 10 } });
    const { path } = await keeper.ensure(brick());
    await world.run('dd', 'if=/dev/zero', `of=${path}/all`, 'bs=4k');
    for (let looks = 0; looks < 20; looks++) {
      expect(await brokenBy(keeper)).toBeUndefined();
      expect((await world.run('stat', path)).code).toBe(0);
    }
  });

  it('that has lost what was on it is told of, and its file system tells everybody at once', async () => {
    const keeper = world.keeper({ health: { everyMs: 10 } });
    const { path } = await keeper.ensure(brick());
    const began = performance.now();
    truncateSync(`${world.place.pool}/${VOLUME}-0/image`, 0);
    await until('it is noticed', async () => (await brokenBy(keeper)) !== undefined);
    const tookMs = performance.now() - began;
    // What is under way may still make the file anew, with nothing in it but the journal.
    expect(await brokenBy(keeper)).toMatch(/Input\/output error|Structure needs cleaning/);
    await until('its file system has ended', async () =>
      /Input\/output error/.test((await world.run('touch', `${path}/more`)).stderr),
    );
    line('F3', `a disk that lost what was on it, noticed after ${tookMs.toFixed(0)} ms`, 1, 1);
  });

  it('that does not answer is told of, and who waits for it loses its process', async () => {
    const { daemon, pool } = world.place;
    // A disk that hangs cannot be had without one that hangs for good; so the program that asks it does.
    const inside = (argv: Argv): Argv =>
      argv.some((word) => word.includes('iflag=direct')) ? ['sleep', '1'] : daemon.inside(argv);
    const keeper = createBrickKeeper({
      ...{ pool, daemon: { ...daemon, inside }, reserve: 1, overcommit: 2 },
      health: { everyMs: 10, patienceMs: 300 },
    });
    // In the place of the brick's process, as glusterd notes its number.
    const server = await startDaemon(['sleep', 'infinity']);
    try {
      const { path } = await keeper.ensure(brick());
      await world.shell(`mount -t tmpfs tmpfs /run; mkdir -p /run/gluster/vols/v
        echo ${server.id.pid} >/run/gluster/vols/v/x-${VOLUME}-0-brick.pid`);
      const began = performance.now();
      await until('it is noticed', async () => (await brokenBy(keeper)) !== undefined);
      const tookMs = performance.now() - began;
      expect(await brokenBy(keeper)).toBe('it has not answered for 0.3 s');
      await until('the process has ended', () => !isAlive(server.id));
      await until('its file system has ended', async () =>
        /Input\/output error/.test((await world.run('touch', `${path}/more`)).stderr),
      );
      line('F3', `a disk that does not answer, told of after ${tookMs.toFixed(0)} ms`, 1, 1);
    } finally {
      await server.stop();
    }
  });
});
