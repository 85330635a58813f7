/** F3: storaged killed with kill -9 at every step of making, growing and removing a brick. Nothing is lost, nothing left. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { run } from '../../linux/process.ts';
import { SPARE_BYTES } from '../../model/brick-size.ts';
import { BRICK_POINTS } from '../../storaged/bricks/apply.ts';
import type { WantedBrick } from '../../storaged/contract.ts';
import type { BrickOrder } from '../support/brick-order.ts';
import { type BrickWorld, brick, brickWorld, MIB, VOLUME } from '../support/brick-world.ts';
import { report } from './crashes.ts';

const ORDER = path.join(import.meta.dirname, '../support/brick-order.ts');
const SIGKILL = 128 + 9;
const GROWN = 400 * MIB;
/** Given only when the rest is used. */

let world: BrickWorld;

beforeEach(async () => {
  world = await brickWorld('bkfault');
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
  expect(world.left()).toEqual([]);
});

/** Another process does it, and dies at the point. */
async function diesAt(point: string, order: Pick<BrickOrder, 'ensure' | 'remove'>): Promise<void> {
  const file = path.join(world.directory, 'fail');
  writeFileSync(file, `brick:${point}`);
  const { pool, daemon } = world.place;
  const whole: BrickOrder = { pool, brickRoot: daemon.brickRoot, pid: world.pid(), ...order };
  const argv = [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    ORDER,
    JSON.stringify(whole),
  ] as const;
  const { code, stderr } = await run(argv, { env: { ...process.env, SLUICE_FAIL_POINTS: file } });
  expect({ code, stderr, isArmed: existsSync(file) }).toEqual({ code: SIGKILL, stderr: '', isArmed: false });
}

async function expectWhole(wanted: WantedBrick): Promise<void> {
  const keeper = world.keeper();
  const [held, ...others] = await keeper.held();
  expect(others).toEqual([]);
  expect(held).toMatchObject({ ...wanted, mounted: true });
  expect(readdirSync(world.place.pool)).toEqual([`${VOLUME}-0`]);
  expect(readdirSync(`${world.place.pool}/${VOLUME}-0`)).toEqual(['brick.json', 'image']);
  expect(world.left()).toHaveLength(1);
}

async function expectNothing(): Promise<void> {
  expect(await world.keeper().held()).toEqual([]);
  expect(readdirSync(world.place.pool)).toEqual([]);
  expect(world.left()).toEqual([]);
}

const survived = (what: string, point: string): void =>
  report(`F3 storaged killed ${what}, brick:${point}`, 1, 1);

describe.each([true, false])('storaged dies (thin: %s)', (thin) => {
  const wanted = brick({ thin });

  it.each(BRICK_POINTS.make)('making a brick, at %s', async (point) => {
    await diesAt(point, { ensure: wanted });
    const made = await world.keeper().ensure(wanted);
    expect(made.fill?.freeBytes).toBe(wanted.bytes - SPARE_BYTES);
    await expectWhole(wanted);
    survived('making', point);
  });

  it.each(thin ? BRICK_POINTS.grow : BRICK_POINTS.growReserved)('growing a brick, at %s', async (point) => {
    const { path: brickPath } = await world.keeper().ensure(wanted);
    await world.shell(`cd ${brickPath} && head -c 8M /dev/urandom >a && sha256sum a >sum && sync -f a`);
    const larger = { ...wanted, bytes: GROWN };
    await diesAt(point, { ensure: larger });
    await world.keeper().ensure(larger);
    await expectWhole(larger);
    await world.shell(`cd ${brickPath} && sha256sum --check --quiet sum`);
    // All of the new room, for an image that is mounted anew.
    await world.shell(`rm ${brickPath}/*`);
    await world.reboot();
    const again = await world.keeper().ensure(larger);
    expect(again.fill?.freeBytes).toBe(GROWN - SPARE_BYTES);
    survived('growing', point);
  });
});

describe('storaged dies', () => {
  it.each(BRICK_POINTS.make)('making a brick that nobody wants any more, at %s', async (point) => {
    await diesAt(point, { ensure: brick() });
    const keeper = world.keeper();
    await keeper.remove(VOLUME, 0);
    await expectNothing();
    survived('making in vain', point);
  });

  it.each(BRICK_POINTS.remove)('removing a brick, at %s', async (point) => {
    await world.keeper().ensure(brick());
    await diesAt(point, { remove: { volume: VOLUME, index: 0 } });
    await world.keeper().remove(VOLUME, 0);
    await expectNothing();
    survived('removing', point);
  });
});
