/** Bricks on this kernel: real images on loop devices, in a mount namespace as glusterd's. What is full is full. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { extendImage, imageAt } from '../../linux/images.ts';
import { runOk, startDaemon } from '../../linux/process.ts';
import { inodesIn, SPARE_BYTES, shapeOf } from '../../model/brick-size.ts';
import type { VolumeId } from '../../model/volume.ts';
import { createBrickKeeper } from '../../storaged/bricks/keeper.ts';
import type { HeldBrick } from '../../storaged/contract.ts';
import { line } from '../attacks/attack.ts';
import { until } from '../runtimes/until.ts';
import { type BrickWorld, brick, brickWorld, MIB, VOLUME } from '../support/brick-world.ts';

const GIB = 2 ** 30;
const OTHER = 'vba9876543210' as VolumeId;
/** A block of the file system, for each writer's last piece and the extents of its file. */
const CRUMBS = 64 * 4_096;

let world: BrickWorld;

beforeEach(async () => {
  world = await brickWorld('bke2e');
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
  expect(world.left()).toEqual([]);
});

const sizeOfAll = async ({ path }: HeldBrick): Promise<number> =>
  Number(
    await world.shell(`find ${path} -type f -printf '%s\\n' | awk '{ sum += $1 } END { print sum + 0 }'`),
  );
/** Writers side by side until each is told that there is no room. @returns how many were */
async function fill({ path }: HeldBrick, writers: number): Promise<number> {
  const said = await world.shell(`
    cd ${path}
    for one in $(seq ${writers}); do
      { dd if=/dev/zero of=w$one bs=4k 2>&1 || true; } | grep -c 'No space left on device' &
    done
    wait`);
  return said.split('\n').filter((count) => count === '1').length;
}

describe('a brick', () => {
  it.each([
    ['thin', 256 * MIB, true],
    ['reserved', 512 * MIB, false],
    ['thin and larger than the disk has free at once', 60 * GIB, true],
    ['of an odd size', 777_777_777, true],
  ])('that is %s has room for exactly what was wanted, and shows little more', async (_, bytes, thin) => {
    const began = performance.now();
    const held = await world.keeper().ensure(brick({ bytes, thin }));
    const tookMs = performance.now() - began;
    const blocks = Math.ceil(bytes / 4_096) * 4_096;
    expect(held).toMatchObject({
      mounted: true,
      bytes,
      thin,
      path: `${world.place.daemon.brickRoot}/${VOLUME}-0/brick`,
    });
    expect(held.fill?.freeBytes).toBe(blocks - SPARE_BYTES);
    const shown = (held.fill?.totalBytes ?? 0) / bytes;
    process.stdout.write(
      `brick of ${bytes} bytes: df shows ${shown.toFixed(4)} of it, made in ${tookMs.toFixed(0)} ms\n`,
    );
    expect(held.fill?.totalBytes).toBeLessThan(blocks + 33 * MIB);
  });

  it('that is smaller than XFS can be is as large as that', async () => {
    const held = await world.keeper().ensure(brick({ bytes: MIB }));
    expect(held.fill?.freeBytes).toBeGreaterThan(200 * MIB);
  });

  it('that is reserved has all its room at once, and one that is thin has not', async () => {
    const keeper = world.keeper();
    await keeper.ensure(brick({ index: 0, thin: true }));
    await keeper.ensure(brick({ index: 1, thin: false }));
    const taken = (index: number) => imageAt(`${world.place.pool}/${VOLUME}-${index}/image`)?.takenBytes ?? 0;
    expect(taken(0)).toBeLessThan(80 * MIB);
    expect(taken(1)).toBeGreaterThanOrEqual(shapeOf({ bytes: 256 * MIB, inodes: null }).imageBytes);
  });

  it('tells four writers at once that it is full, and takes no block too much', async () => {
    const keeper = world.keeper();
    const held = await keeper.ensure(brick({ thin: false }));
    expect(await fill(held, 4)).toBe(4);
    const written = await sizeOfAll(held);
    const over = Math.max(written - held.bytes, 0);
    process.stdout.write(`four writers on ${held.bytes} bytes: ${written} written, ${over} too many\n`);
    expect(over).toBe(0);
    expect(written).toBeGreaterThan(held.bytes - CRUMBS);
  });

  it('cannot be talked into more by reserving, by holes or by truncation', async () => {
    const held = await world.keeper().ensure(brick());
    expect((await world.run('fallocate', '-l', '300MiB', `${held.path}/a`)).stderr).toMatch(/No space left/);
    await world.shell(`truncate -s 100G ${held.path}/hole`);
    const late = await world.run(
      'dd',
      'if=/dev/zero',
      `of=${held.path}/hole`,
      'bs=1M',
      'seek=90000',
      'conv=notrunc',
    );
    expect(late.stderr).toMatch(/No space left/);
    expect(imageAt(`${world.place.pool}/${VOLUME}-0/image`)?.bytes).toBe(
      shapeOf({ bytes: held.bytes, inodes: null }).imageBytes,
    );
  });

  it('has no more files than it may, whoever storms it, and goes on writing to those it has', async () => {
    const keeper = world.keeper();
    const held = await keeper.ensure(brick({ inodes: 5_000 }));
    const beside = await keeper.ensure(brick({ volume: OTHER }));
    const most = inodesIn(shapeOf(held)) + 128 * cpus().length;
    expect(most).toBeLessThan(5_000 + 2 * 1_024 + 128 * cpus().length);
    await world.run('sh', '-c', `cd ${held.path} && seq 30000 | xargs touch`);
    await world.run('sh', '-c', `cd ${held.path} && seq -f d%g 3000 | xargs mkdir`);
    await world.run('sh', '-c', `cd ${held.path} && seq -f p%g 3000 | xargs mkfifo`);
    const made = Number(await world.shell(`find ${held.path} -mindepth 1 | wc -l`));
    const survived = made <= most ? 36_000 - made : 0;
    line(
      'A17',
      `files, directories and pipes in a brick that may have ${most}`,
      36_000 - made,
      survived,
      `  has ${made}`,
    );
    expect(made).toBeGreaterThanOrEqual(5_000);
    expect(made).toBeLessThanOrEqual(most);
    await world.shell(`dd if=/dev/zero of=${held.path}/1 bs=1M count=100 && touch ${beside.path}/goes-on`);
  });

  it('grows under a writer, who loses nothing and gets the new room to the block', async () => {
    const keeper = world.keeper();
    const held = await keeper.ensure(brick({ thin: false }));
    // Each piece is tried until there is room for it.
    const writer = world.shell(`
      cd ${held.path}
      for piece in $(seq 100); do
        until head -c 4M /dev/zero | tr '\\0' "\\\\$((100 + piece % 64))" >p$piece; do :; done 2>/dev/null
        sha256sum p$piece >>sums
      done
      sha256sum --check --quiet sums`);
    await until('the writer has no room', async () => (await keeper.held())[0]!.fill!.freeBytes < 4 * MIB);
    const grown = await keeper.ensure(brick({ thin: false, bytes: 512 * MIB, inodes: 30_000 }));
    await writer;
    expect(grown.fill?.totalInodes).toBeGreaterThanOrEqual(30_000);
    await world.shell(`rm -r ${held.path}/*; sync -f ${held.path}`);
    expect((await keeper.held())[0]?.fill?.freeBytes).toBe(512 * MIB - SPARE_BYTES);
  });

  it('grows from thin to reserved', async () => {
    const keeper = world.keeper();
    await keeper.ensure(brick({ thin: true }));
    await keeper.ensure(brick({ thin: false }));
    const image = imageAt(`${world.place.pool}/${VOLUME}-0/image`);
    expect(image?.takenBytes).toBeGreaterThanOrEqual(image?.bytes ?? 0);
    expect((await keeper.pool()).promisedBytes).toBe(image?.bytes);
  });

  it('does not shrink, and says why', async () => {
    const keeper = world.keeper();
    const held = await keeper.ensure(brick({ bytes: 512 * MIB }));
    await expect(keeper.ensure(brick({ bytes: 511 * MIB }))).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/cannot shrink/),
    });
    expect(await keeper.held()).toEqual([held]);
  });

  it('gives back what is deleted, where it is thin', async () => {
    const keeper = world.keeper();
    const held = await keeper.ensure(brick({ thin: true }));
    const taken = () => imageAt(`${world.place.pool}/${VOLUME}-0/image`)?.takenBytes ?? 0;
    await world.shell(`dd if=/dev/zero of=${held.path}/a bs=1M count=200 conv=fsync`);
    expect(taken()).toBeGreaterThan(200 * MIB);
    // A frozen file system has nothing left to write: its log is empty, and what was freed has been told.
    const point = held.path.slice(0, -'/brick'.length);
    await world.shell(`rm ${held.path}/a; sync -f ${point}; fsfreeze -f ${point}; fsfreeze -u ${point}`);
    await until('the room is given back', () => taken() < 80 * MIB);
  });
});

describe('a pool', () => {
  it('refuses what it has no room for, with figures, and nothing of it remains', async () => {
    const keeper = world.keeper();
    const { freeBytes } = await keeper.pool();
    await expect(keeper.ensure(brick({ bytes: freeBytes, thin: false }))).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/has \d+ MiB free, and \d+ MiB are needed/),
    });
    expect(readdirSync(world.place.pool)).toEqual([]);
    expect(await keeper.held()).toEqual([]);
  });

  it('promises to thin bricks only so many times what it has', async () => {
    const keeper = world.keeper({ overcommit: 1.5 });
    const { totalBytes } = await keeper.pool();
    await keeper.ensure(brick({ bytes: totalBytes }));
    await expect(keeper.ensure(brick({ volume: OTHER, bytes: totalBytes }))).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/may promise \d+ MiB, has promised \d+ MiB/),
    });
    expect((await keeper.held()).map(({ volume }) => volume)).toEqual([VOLUME]);
  });

  it('counts room that was promised a moment ago, although nothing of it is taken yet', async () => {
    const keeper = world.keeper({ overcommit: 1 });
    const bytes = Math.floor((await keeper.pool()).totalBytes / 2);
    const all = [0, 1, 2].map((index) => keeper.ensure(brick({ index, bytes })));
    const outcomes = await Promise.allSettled(all);
    expect(outcomes.map(({ status }) => status)).toContain('rejected');
    expect((await keeper.pool()).promisedBytes).toBeLessThanOrEqual((await keeper.pool()).totalBytes);
  });

  it('that runs short tells writers on thin bricks that they are full, before anything is lost', async () => {
    const { pool } = world.place;
    mkdirSync(pool);
    await runOk(['mount', '-t', 'tmpfs', '-o', 'size=800M', 'tmpfs', pool]);
    try {
      const keeper = world.keeper({ reserve: 25, overcommit: 4 });
      const { path } = await keeper.ensure(brick({ bytes: GIB }));
      await runOk(['fallocate', '-l', '200M', `${pool}/somebody-elses`]);
      let isOver = false;
      const writer = world
        .run(
          'sh',
          '-c',
          `cd ${path}; i=0; while head -c 4M /dev/urandom >p$i && sync p$i; do sha256sum p$i >>sums; i=$((i+1)); done`,
        )
        .finally(() => (isOver = true));
      await until('the writer is told', async () => {
        await keeper.held();
        return isOver;
      });
      expect((await writer).stderr).toMatch(/No space left on device/);
      expect(Number(await runOk(['stat', '-f', '-c', '%a', pool]))).toBeGreaterThan(0);
      expect((await keeper.held())[0]?.fill?.freeBytes).toBeLessThan(SPARE_BYTES);
      await world.shell(`cd ${path} && sha256sum --check --quiet sums`);

      rmSync(`${pool}/somebody-elses`);
      await keeper.held();
      await world.shell(`cd ${path} && head -c 4M /dev/urandom >again && sync again`);
      await keeper.remove(VOLUME, 0);
    } finally {
      await runOk(['umount', '--lazy', pool]);
    }
  });

  it('keeps free what is to be kept free', async () => {
    const [all, most] = [world.keeper({ reserve: 0 }), world.keeper({ reserve: 90 })];
    expect((await most.pool()).freeBytes).toBeLessThan((await all.pool()).freeBytes);
  });
});

describe('what went wrong', () => {
  it('is undone: a brick that cannot be mounted leaves nothing', async () => {
    const { daemon } = world.place;
    const inside = (argv: Parameters<typeof daemon.inside>[0]) =>
      argv[0] === 'mount' ? (['false'] as const) : daemon.inside(argv);
    const keeper = createBrickKeeper({
      ...{ pool: world.place.pool, daemon: { ...daemon, inside } },
      ...{ reserve: 1, overcommit: 2 },
    });
    await expect(keeper.ensure(brick())).rejects.toMatchObject({ code: 'storage_failed' });
    expect(readdirSync(world.place.pool)).toEqual([]);
    expect(world.left()).toEqual([]);
  });

  it('does not destroy a brick whose image somebody has deleted', async () => {
    const keeper = world.keeper();
    const held = await keeper.ensure(brick());
    await world.shell(`echo precious >${held.path}/file`);
    rmSync(`${world.place.pool}/${VOLUME}-0/image`);
    await expect(keeper.ensure(brick())).rejects.toMatchObject({
      code: 'storage_failed',
      message: expect.stringMatching(/moved or deleted/),
    });
    expect(await world.shell(`cat ${held.path}/file`)).toBe('precious\n');
  });

  it('is tidied by the next daemon: what was half made, half removed, or left attached', async () => {
    const { pool } = world.place;
    const lost = `${pool}/${OTHER}-3`;
    for (const name of [`${OTHER}-2`, `gone-${OTHER}-1`, `${OTHER}-3`, 'not-ours'])
      mkdirSync(`${pool}/${name}`, { recursive: true });
    writeFileSync(`${pool}/${OTHER}-2/image.new`, 'half');
    writeFileSync(`${pool}/gone-${OTHER}-1/image`, 'gone');
    extendImage(`${lost}/image`, 300 * MIB);
    await attachForGood(`${lost}/image`);
    await world.keeper().ensure(brick());
    // An image that no record speaks of is somebody's data.
    expect(readdirSync(pool)).toEqual([`${VOLUME}-0`, `${OTHER}-3`, 'not-ours'].sort());
    expect(world.left()).toHaveLength(1);
    expect(world.left()[0]).toMatch(`${VOLUME}-0/image`);
  });
});

/** As programs of old do it: the device does not go by itself. */
async function attachForGood(file: string): Promise<void> {
  const device = (await runOk(['losetup', '--find', '--show', file])).trim();
  expect(world.left()).toEqual([expect.stringContaining(device)]);
}

describe('after a reboot', () => {
  it('a brick is not there at all until it is mounted again, with all that was in it', async () => {
    const held = await world.keeper().ensure(brick({ inodes: 9_000 }));
    await world.shell(`echo kept >${held.path}/file; sync -f ${held.path}`);
    await world.reboot();
    const keeper = world.keeper();
    expect(await keeper.held()).toEqual([{ ...held, mounted: false, fill: null }]);
    expect(existsSync(held.path)).toBe(false);
    expect((await world.run('touch', `${held.path}/file`)).code).not.toBe(0);
    await keeper.ensure(brick({ inodes: 9_000 }));
    expect(await world.shell(`cat ${held.path}/file`)).toBe('kept\n');
  });
});

describe('removing a brick', () => {
  it('takes its data, its device and its mount point, and may be repeated', async () => {
    const keeper = world.keeper();
    const held = await keeper.ensure(brick({ thin: false }));
    await keeper.remove(VOLUME, 0);
    await keeper.remove(VOLUME, 0);
    expect(await keeper.held()).toEqual([]);
    expect(readdirSync(world.place.pool)).toEqual([]);
    expect(readdirSync(world.place.daemon.brickRoot)).toEqual([]);
    expect(world.left()).toEqual([]);
    await expect(world.shell(`ls ${held.path}`)).rejects.toThrow();
  });

  it('does not wait for ever for somebody who is in it', async () => {
    const keeper = world.keeper();
    const held = await keeper.ensure(brick());
    const sitting = await startDaemon(
      world.inside(['sh', '-c', `cd ${held.path} && touch in && exec cat </dev/zero`]),
    );
    await until('it sits there', async () => (await world.run('test', '-e', `${held.path}/in`)).code === 0);
    await keeper.remove(VOLUME, 0);
    expect(readdirSync(world.place.pool)).toEqual([]);
    await sitting.stop();
    await until('the device has gone with the last user', () => world.left().length === 0);
  });
});
