import { Duration, millisecondsOf } from './duration.ts';

describe('a length of time', () => {
  it.each<[string | number, number]>([
    [0, 0],
    ['0s', 0],
    ['100ms', 100],
    ['30s', 30_000],
    ['10m', 600_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
  ])('%j is %d ms', (text, ms) => {
    expect(millisecondsOf(Duration.parse(text))).toBe(ms);
  });

  it.each(['', '5', 5, '-1s', '1.5h', '1 h', '1w', 'h'])('is refused: %j', (text) => {
    expect(Duration.safeParse(text).success).toBe(false);
  });
});
