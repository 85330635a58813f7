import fc from 'fast-check';
import { median, percentile, ratios, rounded } from '../../bench/statistics.ts';

const samples = fc.array(fc.double({ min: 0.001, max: 1e9, noNaN: true }), { minLength: 1, maxLength: 50 });

describe('percentile', () => {
  it('takes the nearest rank', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect([1, 50, 99, 100].map((percent) => percentile(hundred, percent))).toEqual([1, 50, 99, 100]);
  });

  it('is always one of the samples, and leaves them as they are', () => {
    fc.assert(
      fc.property(samples, fc.integer({ min: 0, max: 100 }), (given, percent) => {
        const before = [...given];
        expect(given).toContain(percentile(given, percent));
        expect(given).toEqual(before);
      }),
    );
  });

  it('refuses to say anything about nothing', () => {
    expect(() => percentile([], 50)).toThrow(RangeError);
  });
});

describe('median', () => {
  it('is the middle, or the mean of the middle two', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([8, 2, 4, 6])).toBe(5);
  });

  it('has as many samples on either side', () => {
    fc.assert(
      fc.property(samples, (given) => {
        const middle = median(given);
        const below = given.filter((one) => one < middle).length;
        const above = given.filter((one) => one > middle).length;
        expect(Math.max(below, above)).toBeLessThanOrEqual(given.length / 2);
      }),
    );
  });
});

describe('ratios', () => {
  it('divides round by round', () => {
    expect(ratios([1, 9], [2, 3])).toEqual([0.5, 3]);
  });

  it.each([
    ['a round is missing', [1, 2], [1]],
    ['there is a baseline too many', [1], [1, 2]],
    ['a baseline is zero', [1], [0]],
  ])('refuses when %s', (_, ours, baseline) => {
    expect(() => ratios(ours, baseline)).toThrow(RangeError);
  });
});

it('rounds to significant digits', () => {
  expect([rounded(123_456), rounded(0.000_123_456), rounded(1)]).toEqual([123_500, 0.000_123_5, 1]);
});
