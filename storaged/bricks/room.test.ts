import { isShort, poolOf } from './room.ts';

const GIB = 2 ** 30;
const facts = { totalBytes: 100 * GIB, freeBytes: 60 * GIB, reserve: 10 };

describe('the room of a pool', () => {
  it('is what is free, without what is kept free', () => {
    expect(poolOf({ ...facts, images: [] })).toEqual({
      ...{ totalBytes: 50 * GIB, promisedBytes: 0, freeBytes: 50 * GIB },
    });
  });

  it('counts a reserved image as gone before its room is taken', () => {
    const image = { bytes: 20 * GIB, takenBytes: 5 * GIB, thin: false };
    expect(poolOf({ ...facts, images: [image] })).toEqual({
      ...{ totalBytes: 55 * GIB, promisedBytes: 20 * GIB, freeBytes: 35 * GIB },
    });
  });

  it('counts of a thin image what it has taken, and promises the rest', () => {
    const image = { bytes: 80 * GIB, takenBytes: 5 * GIB, thin: true };
    expect(poolOf({ ...facts, images: [image] })).toEqual({
      ...{ totalBytes: 55 * GIB, promisedBytes: 80 * GIB, freeBytes: 50 * GIB },
    });
  });

  it('is none, and never less, when others have filled the disk', () => {
    const image = { bytes: 20 * GIB, takenBytes: 5 * GIB, thin: false };
    expect(poolOf({ ...facts, freeBytes: GIB, images: [image] }).freeBytes).toBe(0);
  });
});

describe('a pool that is short of room', () => {
  const poolWith = (freeBytes: number) => ({ totalBytes: 100 * GIB, promisedBytes: 150 * GIB, freeBytes });

  it('is one without any, and stays it until there is a little', () => {
    expect([1, 0].map((free) => isShort(poolWith(free), false))).toEqual([false, true]);
    expect([GIB - 1, GIB].map((free) => isShort(poolWith(free), true))).toEqual([true, false]);
  });
});
