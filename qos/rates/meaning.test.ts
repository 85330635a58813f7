import { rateOfFrames } from './meaning.ts';

describe('what a rate means', () => {
  it('is the frames themselves by default', () => {
    expect(rateOfFrames(10e6, 'wire', 1_500)).toBe(10e6);
  });

  it.each([
    [1_500, 10_455_801],
    [1_450, 10_472_103],
    [9_000, 10_073_759],
  ])('is more on the wire when payload is meant, with an MTU of %d', (mtu, frames) => {
    expect(rateOfFrames(10e6, 'goodput', mtu)).toBe(frames);
    // A full segment: so much of its frame is payload.
    expect(Math.abs((frames * (mtu - 52)) / (mtu + 14) - 10e6)).toBeLessThan(1);
  });
});
