import { lastTime, nextTime } from './cron.ts';
import { isoOf, msOfIso } from './iso-time.ts';

const at = (text: string): number => msOfIso(text) ?? Number.NaN;

function timesOf(cron: string, zone: string, from: string, until: string): string[] {
  const times = { cron, zone };
  const all: string[] = [];
  let time = nextTime(times, at(from) - 1);
  while (time !== undefined && time <= at(until)) {
    all.push(isoOf(time).slice(5, 16));
    time = nextTime(times, time);
  }
  return all;
}

describe('a time that comes back', () => {
  it('that clocks leave out when they are put forward is when they are put forward', () => {
    expect(timesOf('30 2 * * *', 'Europe/Paris', '2026-03-28T00:00Z', '2026-03-31T00:00Z')).toEqual([
      ...['03-28T01:30', '03-29T01:00', '03-30T00:30'],
    ]);
  });

  it('that clocks show twice when they are put back is the first time only', () => {
    expect(timesOf('30 2 * * *', 'Europe/Paris', '2026-10-24T00:00Z', '2026-10-27T00:00Z')).toEqual([
      ...['10-24T00:30', '10-25T00:30', '10-26T01:30'],
    ]);
    expect(timesOf('*/30 * * * *', 'Europe/Paris', '2026-10-25T00:00Z', '2026-10-25T02:30Z')).toEqual([
      ...['10-25T00:00', '10-25T00:30', '10-25T02:00', '10-25T02:30'],
    ]);
  });

  it.each([
    ['Europe/Paris', '2026-03-27T00:00Z'],
    ['Europe/Paris', '2026-10-23T00:00Z'],
    ['America/New_York', '2026-11-01T00:00Z'],
    ['Australia/Lord_Howe', '2026-04-04T00:00Z'],
    ['Asia/Kathmandu', '2026-04-04T00:00Z'],
  ])(
    'is never before the moment that was asked about, and found again from before it: %s, %s',
    (zone, from) => {
      for (const cron of ['30 2 * * *', '*/20 * * * *', '45 1 * * *', '0 3 * * *', '0 0 * * sun']) {
        const times = { cron, zone };
        let before = Number.NEGATIVE_INFINITY;
        for (let minute = 0; minute < 4 * 1_440; minute += 97) {
          const now = at(from) + minute * 60_000;
          const next = nextTime(times, now) ?? Number.NaN;
          expect(next).toBeGreaterThan(now);
          expect(next).toBeGreaterThanOrEqual(before);
          expect(lastTime(times, now, next)).toBe(next);
          expect(lastTime(times, now, next - 1)).toBeUndefined();
          before = next;
        }
      }
    },
  );
});
