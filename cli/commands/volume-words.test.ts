import { SluiceError } from '../../model/errors.ts';
import { inodesOf, quotaText, sizeOf, volumeLimits, volumeQuota } from './volume-words.ts';

function hintOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof SluiceError) return `${error.code}: ${error.message} → ${error.hint}`;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('what people say of volumes', () => {
  it('is a size with its unit', () => {
    expect(sizeOf('10GiB')).toBe(10 * 2 ** 30);
    expect(sizeOf('500GB')).toBe(500e9);
  });

  it.each([
    ['0', /has no unit/],
    ['10', /has no unit.*10MiB|10GiB/],
    ['10G', /not clear.*10GiB \(powers of 1024\)/],
    ['1B', /the least is 1GiB/],
    ['10EiB', /not clear here/],
    ['2000TiB', /the most is 1024TiB/],
    ['unlimited', /is no quantity/],
  ])('is refused as a size where it is %j', (word, why) => {
    expect(hintOf(() => sizeOf(word))).toMatch(why);
    expect(hintOf(() => sizeOf(word))).toMatch(/^invalid_request: --size: /);
  });

  it('may be said once', () => {
    expect(hintOf(() => sizeOf(['10GiB', '20GiB']))).toMatch(/more than once/);
  });

  it('is limits by their short names, or the whole ones', () => {
    expect(volumeLimits(['read=20MB/s', 'volume.write=unlimited,writeOps=500'])).toEqual({
      ...{ 'volume.read': 20e6, 'volume.write': null, 'volume.writeOps': 500 },
    });
    expect(volumeLimits([])).toEqual({});
  });

  it.each([
    ['read', /is no limit.*FIELD=VALUE/],
    ['cpu=1', /no limit "cpu".*readOps=500/],
    ['read=20', /has no unit.*20MiB\/s/],
    ['read=20Mbit', /not clear/],
    ['tenant.volume.read=1MB/s', /no limit/],
  ])('is refused as a limit where it is %j', (word, why) => {
    expect(hintOf(() => volumeLimits([word]))).toMatch(why);
  });

  it('is a number of files', () => {
    expect(inodesOf(1_000_000)).toBe(1_000_000);
    expect(inodesOf(undefined)).toBeUndefined();
    for (const count of [0, 999, 1e6 + 0.5, Number.NaN])
      expect(hintOf(() => inodesOf(count))).toMatch(/--inodes/);
  });
});

describe("a tenant's quota of volumes", () => {
  const before = { count: 3, bytes: 100 * 2 ** 30 };

  it('is changed where it is named, and unlimited is a value', () => {
    expect(volumeQuota(before, {})).toEqual(before);
    expect(volumeQuota(before, { volumes: '5' })).toEqual({ ...before, count: 5 });
    expect(volumeQuota(before, { volumeBytes: '2TiB', volumes: 'unlimited' })).toEqual({
      ...{ count: null, bytes: 2 * 2 ** 40 },
    });
    expect(volumeQuota(before, { volumes: '0', volumeBytes: 'unlimited' })).toEqual({
      count: 0,
      bytes: null,
    });
  });

  it('is refused where it could mean two things', () => {
    expect(hintOf(() => volumeQuota(before, { volumeBytes: '100G' }))).toMatch(/--volume-bytes.*100GiB/);
    expect(hintOf(() => volumeQuota(before, { volumes: '-1' }))).toMatch(/--volumes/);
  });

  it('is written as it is said', () => {
    expect(quotaText(before)).toBe('3, 100GiB together');
    expect(quotaText({ count: null, bytes: null })).toBe('as many as there is room for');
  });
});
