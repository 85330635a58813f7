/** Keeps a node's bricks: an image for each in the pool, mounted where Gluster's daemon sees it and nobody else. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureDirectory } from '../../linux/files.ts';
import { imageAt, moveAway, removeImages, roomBelow } from '../../linux/images.ts';
import { type FileSystemFill, fillsInside, removeDirectoryInside, unmountInside } from '../../linux/xfs.ts';
import { poolRefusal, roomIn, SPARE_BYTES, shapeOf } from '../../model/brick-size.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import type { VolumeId } from '../../model/volume.ts';
import type { Pool } from '../../model/volume-report.ts';
import type { BrickKeeper, HeldBrick, WantedBrick } from '../contract.ts';
import { applyBrick, type Checkpoint } from './apply.ts';
import { type HealthTimes, watchDisks } from './health.ts';
import { holdBricks } from './holding.ts';
import { brickPathOf, mountedBricks, observeBrick, type Place, pointOf } from './observe.ts';
import { planBrick } from './plan.ts';
import { type BrickRecord, filesOf, nameOf, readPool, writeRecord } from './records.ts';
import { poolOf } from './room.ts';
import { removeStrays } from './strays.ts';

export interface BrickKeeperOptions extends Place {
  /** Per cent of the pool's file system that are left free. */
  readonly reserve: number;
  /** How many times its room the pool may promise. */
  readonly overcommit: number;
  /** How patient it is with disks; tests are less. */
  readonly health?: Partial<HealthTimes>;
  /** Where tests may let the process die. */
  readonly checkpoint?: Checkpoint;
}

/** What is seen only when it is mounted needs a second plan; a third would repeat the second. */
const ROUNDS = 4;
/** How long a brick's process may take to let go of it, before it is left to end behind our back. */
const BUSY_MS = 3_000;
const BUSY_POLL_MS = 50;

/** @throws SluiceError `store_failed` when what the pool says of a brick is damaged */
export function createBrickKeeper(options: BrickKeeperOptions): BrickKeeper {
  const { pool, daemon, reserve, overcommit } = options;
  const checkpoint = options.checkpoint ?? ((): void => {});
  ensureDirectory(pool);
  const { records, rubbish } = readPool(pool);
  /** One change at a time: room that one takes must be seen by the next. */
  let last: Promise<unknown> = Promise.all(rubbish.map(removeImages));
  const inTurn = <T>(task: () => Promise<T>): Promise<T> => {
    const run = last.then(task, task);
    last = run.catch(() => undefined);
    return run;
  };
  let isTidy = false;
  const holding = holdBricks(options);
  const health = watchDisks(options, options.health);

  const readPoolNow = (): Pool =>
    poolOf({
      ...roomBelow(pool),
      reserve,
      images: [...records].map(([name, record]) => {
        const { bytes, takenBytes } = imageAt(filesOf(pool, name).image) ?? { bytes: 0, takenBytes: 0 };
        const { imageBytes } = shapeOf(record, record.groupBlocks);
        return { bytes: Math.max(imageBytes, bytes), takenBytes, thin: record.thin };
      }),
    });

  /** What will be written down, if there is room for it. @throws SluiceError `refused` */
  function admit(wanted: WantedBrick, before: BrickRecord | undefined): BrickRecord {
    const name = nameOf(wanted);
    // A file system that was never finished is made as if it were the first time.
    const made = imageAt(filesOf(pool, name).image) === undefined ? undefined : before;
    if (made !== undefined && wanted.bytes < made.bytes) throw shrinks(name, made.bytes, wanted.bytes);
    const shape = shapeOf(wanted, made?.groupBlocks);
    const { volume, index, bytes, inodes, thin } = wanted;
    const record = { volume, index, bytes, inodes, thin, groupBlocks: shape.groupBlocks };
    const promised = before === undefined ? 0 : shapeOf(before, before.groupBlocks).imageBytes;
    const more = { bytes: Math.max(shape.imageBytes - promised, 0), thin };
    const refusal = more.bytes > 0 ? poolRefusal(readPoolNow(), more, overcommit) : undefined;
    if (refusal === undefined) return record;
    const hint = 'make room in the pool, or add storage nodes; smaller volumes need less';
    throw new SluiceError('refused', `no room for brick ${name}: ${refusal}`, hint);
  }

  async function bringAbout(record: BrickRecord): Promise<void> {
    const name = nameOf(record);
    const wanted = { ...shapeOf(record, record.groupBlocks), thin: record.thin };
    for (let round = 0; round < ROUNDS; round++) {
      const actions = planBrick(wanted, await observeBrick(options, name));
      if (actions.length === 0) return;
      await applyBrick(options, name, actions, checkpoint);
    }
    throw new SluiceError(
      'storage_failed',
      `brick ${name} does not become what it should be`,
      'docs/bricks.md',
    );
  }

  async function ensure(wanted: WantedBrick): Promise<HeldBrick> {
    await daemon.ensure();
    if (!isTidy) await removeStrays(options, new Set(records.keys()));
    isTidy = true;
    const name = nameOf(wanted);
    const before = records.get(name);
    const record = admit(wanted, before);
    if (JSON.stringify(record) !== JSON.stringify(before)) writeRecord(pool, record);
    records.set(name, record);
    checkpoint('brick:recorded');
    try {
      await bringAbout(record);
      const [settling] = await describe([record]);
      await holding.settle({ record, freeBytes: settling?.fill?.freeBytes ?? 0 });
    } catch (error) {
      await undo(name, before);
      throw failed(name, error);
    }
    const [held] = await describe([record]);
    return held as HeldBrick;
  }

  /** A brick that could not be made is gone; one that could not grow is promised what it had. */
  async function undo(name: string, before: BrickRecord | undefined): Promise<void> {
    if (before === undefined) await takeAway(name).catch(() => undefined);
    else {
      writeRecord(pool, before);
      records.set(name, before);
    }
  }

  async function takeAway(name: string): Promise<void> {
    const files = filesOf(pool, name);
    const point = pointOf(options, name);
    if (daemon.isAlive()) {
      await release(point);
      checkpoint('brick:unmounted');
    }
    moveAway(files.directory, files.gone);
    records.delete(name);
    checkpoint('brick:forgotten');
    await removeImages(files.gone);
    checkpoint('brick:removed');
  }

  async function release(point: string): Promise<void> {
    const deadline = performance.now() + BUSY_MS;
    while ((await mountedBricks(options)).has(point)) {
      const isLate = performance.now() > deadline;
      try {
        await unmountInside(daemon.inside, point, isLate);
      } catch (error) {
        if (isLate) throw error;
        await sleep(BUSY_POLL_MS);
      }
    }
    await removeDirectoryInside(daemon.inside, point);
  }

  async function describe(some: readonly BrickRecord[]): Promise<HeldBrick[]> {
    const mounted = await mountedBricks(options);
    const isMounted = (record: BrickRecord): boolean => mounted.has(pointOf(options, nameOf(record)));
    // Before they are asked how full they are: one that hangs would not answer that either.
    health.look(
      [...records.keys()].flatMap((name) => {
        const point = pointOf(options, name);
        const device = mounted.get(point)?.device;
        return device === undefined ? [] : [{ name, point, device }];
      }),
    );
    const paths = some.filter(isMounted).map((record) => brickPathOf(options, nameOf(record)));
    const fills = await fillsInside(daemon.inside, paths);
    return some.map((record) => {
      const { volume, index, bytes, inodes, thin } = record;
      const path = brickPathOf(options, nameOf(record));
      const fill = fillOf(record, fills.get(path));
      const broken = health.brokenBy(nameOf(record));
      const held = { volume, index, bytes, inodes, thin, path, mounted: fill !== null, fill };
      return broken === undefined ? held : { ...held, mounted: isMounted(record), broken };
    });
  }

  async function held(): Promise<HeldBrick[]> {
    const all = await describe([...records.values()]);
    const mounted = all.flatMap((one) => {
      const record = records.get(nameOf(one));
      return record === undefined || one.fill === null ? [] : [{ record, freeBytes: one.fill.freeBytes }];
    });
    await holding.look(readPoolNow(), mounted);
    return all;
  }

  return {
    held,
    ensure: (brick) => inTurn(() => ensure(brick)),
    remove: (volume: VolumeId, index: number) =>
      inTurn(async () => {
        // What is still mounted, in namespaces that outlive glusterd, would keep its room.
        await daemon.ensure();
        await takeAway(nameOf({ volume, index }));
      }),
    pool: async () => readPoolNow(),
  };
}

/** As clients see it: what data may take, of what was wanted. */
function fillOf(record: BrickRecord, raw: FileSystemFill | undefined): FileSystemFill | null {
  if (raw === undefined) return null;
  const totalBytes = Math.min(raw.totalBytes, roomIn(shapeOf(record, record.groupBlocks)));
  return { ...raw, totalBytes, freeBytes: Math.max(raw.freeBytes - SPARE_BYTES, 0) };
}

function shrinks(name: string, has: number, wanted: number): SluiceError {
  const what = `brick ${name} has ${has} bytes and cannot shrink to ${wanted}: XFS has no way to give room back`;
  return new SluiceError('refused', what, 'make a smaller volume and copy the data, then delete this one');
}

function failed(name: string, error: unknown): SluiceError {
  const { code, message, hint } = asSluiceError(error);
  if (code === 'refused' || code === 'storage_failed') return asSluiceError(error);
  return new SluiceError('storage_failed', `brick ${name} cannot be had: ${message}`, hint, { cause: error });
}
