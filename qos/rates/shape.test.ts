import fc from 'fast-check';
import { shapeOf } from './shape.ts';

const rates = fc.double({ min: 1e6, max: 100e9, noNaN: true });
const mtus = fc.constantFrom(1_280, 1_450, 1_500, 9_000);
const seconds = (bytes: number, rate: number): number => (bytes * 8) / rate;

describe('the shape of a class', () => {
  it('lets no more into the first second than a tenth too much, and covers a late timer', () => {
    fc.assert(
      fc.property(rates, (rate) => {
        const { burst } = shapeOf(rate, 1_500);
        expect(seconds(burst, rate)).toBeLessThanOrEqual(0.1);
        if (rate >= 10e6) expect(seconds(burst, rate)).toBeGreaterThanOrEqual(0.0099);
      }),
    );
  });

  it('makes nobody wait longer than 40 ms from 10 Mbit/s on, behind a full queue and a packet under way', () => {
    fc.assert(
      fc.property(rates, (rate) => {
        fc.pre(rate >= 10e6);
        const { limit, longest } = shapeOf(rate, 1_500);
        expect(seconds(limit + Math.min(longest, 131_072), rate)).toBeLessThan(0.04);
      }),
    );
  });

  it('refuses no packet: what is too long can be cut, and a cut one fits', () => {
    fc.assert(
      fc.property(rates, mtus, (rate, mtu) => {
        const { longest, limit, quantum } = shapeOf(rate, mtu);
        expect(longest).toBeGreaterThanOrEqual(mtu + 14);
        expect(limit).toBeGreaterThanOrEqual(longest);
        expect(quantum).toBeGreaterThanOrEqual(mtu + 14);
      }),
    );
  });
});
