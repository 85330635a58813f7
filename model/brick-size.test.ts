import fc from 'fast-check';
import {
  arbiterBytes,
  BLOCK_BYTES,
  brickInodes,
  brickNeed,
  inodesIn,
  LOG_BLOCKS,
  poolRefusal,
  roomIn,
  shapeOf,
} from './brick-size.ts';
import type { Volume } from './volume.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
/** Large enough that the smallest image of all does not matter. */
const anyBytes = fc.oneof(
  fc.integer({ min: 256 * MIB, max: 64 * GIB }),
  fc.integer({ min: 1, max: 2 ** 20 }).map((gib) => gib * GIB),
);
const anyInodes = fc.option(fc.integer({ min: 1_000, max: 10_000_000 }));

describe('the shape of an image', () => {
  it('has room for what is wanted, and for less than a group’s headers more', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const room = roomIn(shapeOf({ bytes, inodes: null }));
        expect(room).toBeGreaterThanOrEqual(bytes);
        expect(room).toBeLessThan(bytes + 20 * BLOCK_BYTES);
      }),
    );
  });

  it('has room for what is wanted after it has grown, too', () => {
    fc.assert(
      fc.property(anyBytes, anyBytes, (one, other) => {
        const [less, more] = [Math.min(one, other), Math.max(one, other)];
        const { groupBlocks, imageBytes } = shapeOf({ bytes: less, inodes: null });
        const grown = shapeOf({ bytes: more, inodes: null }, groupBlocks);
        expect(grown.groupBlocks).toBe(groupBlocks);
        expect(grown.imageBytes).toBeGreaterThanOrEqual(imageBytes);
        expect(roomIn(grown)).toBeGreaterThanOrEqual(more);
        expect(roomIn(grown)).toBeLessThan(more + 100 * BLOCK_BYTES);
      }),
    );
  });

  it('is the same when it is worked out again for the same need', () => {
    fc.assert(
      fc.property(fc.oneof(anyBytes, fc.integer({ min: 1, max: 256 * MIB })), anyInodes, (bytes, inodes) => {
        const first = shapeOf({ bytes, inodes });
        expect(shapeOf({ bytes, inodes }, first.groupBlocks)).toEqual(first);
      }),
    );
  });

  it('allows the files that are wanted, and at most one per cent of its room more', () => {
    fc.assert(
      fc.property(anyBytes, fc.integer({ min: 1, max: 10_000_000 }), (bytes, inodes) => {
        const shape = shapeOf({ bytes, inodes });
        const step = shape.imageBytes / 512 / 100;
        if (shape.inodePercent < 100) expect(inodesIn(shape)).toBeGreaterThanOrEqual(inodes);
        if (shape.inodePercent > 1) expect(inodesIn(shape)).toBeLessThan(inodes + 2 * step + 128);
      }),
    );
  });

  it('is never smaller than mkfs.xfs takes', () => {
    expect(shapeOf({ bytes: 1, inodes: null }).imageBytes).toBe(300 * MIB);
    expect(shapeOf({ bytes: 1, inodes: null }).groupBlocks).toBeGreaterThan(LOG_BLOCKS);
  });

  it('is what the kernel was measured to take: 4 groups, 64 MiB of log, 32 MiB held back', () => {
    expect(shapeOf({ bytes: 10 * GIB, inodes: null }).imageBytes).toBe(
      10 * GIB + 96 * MIB + 68 * BLOCK_BYTES,
    );
  });
});

describe('inodes', () => {
  it('are as many as files, their index and the pieces of large ones', () => {
    expect(brickInodes({ inodes: 1_000, dataBytes: GIB, sets: 2 })).toBe(2 * (500 + 256) + 1_024);
    expect(brickInodes({ inodes: null, dataBytes: GIB, sets: 1 })).toBe(65_536 + 256 + 65_536 + 1_024);
  });

  it('fit into an arbiter of the size that is worked out for it', () => {
    fc.assert(
      fc.property(anyBytes, anyInodes, fc.constantFrom(1, 2), (dataBytes, inodes, sets) => {
        const shape = { inodes, dataBytes, sets };
        const arbiter = shapeOf({ bytes: arbiterBytes(shape), inodes: brickInodes(shape) });
        expect(inodesIn(arbiter)).toBeGreaterThanOrEqual(brickInodes(shape));
      }),
    );
  });

  it('are the same for the data bricks and the arbiter of a volume', () => {
    const brick = (role: 'data' | 'arbiter', bytes: number) => ({ role, bytes });
    const set = [brick('data', GIB), brick('data', GIB), brick('arbiter', 300 * MIB)];
    const volume = {
      layout: 'two-by-two',
      inodes: null,
      thin: true,
      bricks: [...set, ...set],
    } as unknown as Volume;
    expect(brickNeed(volume, 0)).toEqual({ bytes: GIB, inodes: brickNeed(volume, 2).inodes, thin: true });
    expect(brickNeed(volume, 5).bytes).toBe(300 * MIB);
  });
});

describe('a pool', () => {
  const pool = { totalBytes: 100 * GIB, promisedBytes: 150 * GIB, freeBytes: 20 * GIB };

  it('takes what it has room for', () => {
    expect(poolRefusal(pool, { bytes: 20 * GIB, thin: false }, 2)).toBeUndefined();
    expect(poolRefusal(pool, { bytes: 50 * GIB, thin: true }, 2)).toBeUndefined();
  });

  it('reserves no more than there is', () => {
    expect(poolRefusal(pool, { bytes: 20 * GIB + 1, thin: false }, 2)).toBe(
      'the pool has 20480 MiB free, and 20481 MiB are needed at once',
    );
  });

  it('promises no more than it may, however thin', () => {
    expect(poolRefusal(pool, { bytes: 51 * GIB, thin: true }, 2)).toBe(
      'the pool may promise 204800 MiB, has promised 153600 MiB, and 52224 MiB are asked for',
    );
  });

  it('that is full takes nothing thin either', () => {
    expect(poolRefusal({ ...pool, freeBytes: 0 }, { bytes: GIB, thin: true }, 2)).toMatch(
      /^the pool has 0 MiB/,
    );
  });
});
