import { msOfIso } from './iso-time.ts';
import { Repetition, type Switch } from './switch.ts';
import { windowAt } from './switch-windows.ts';

const at = (text: string): number => msOfIso(text) ?? Number.NaN;
const HOUR = 3_600_000;

const timed = (more: Partial<Switch>) => ({
  ...{
    from: at('2026-03-01T00:00Z'),
    until: at('2026-04-30T00:00Z'),
    repeat: null,
    closed: null,
    approval: null,
  },
  ...more,
});
const nightly = (cron: string, hours: number, zone = 'UTC') =>
  Repetition.parse({ cron, forMs: hours * HOUR, zone });

describe('a switch without repetition', () => {
  const once = timed({});
  it.each([
    ['2026-02-28T23:59:59Z', 'waiting', '2026-03-01T00:00Z'],
    ['2026-03-01T00:00:00Z', 'open', '2026-04-30T00:00Z'],
    ['2026-04-29T23:59:59Z', 'open', '2026-04-30T00:00Z'],
  ])('is at %s %s, until %s', (now, state, next) => {
    expect(windowAt(once, at(now))).toEqual({
      ...{ state, from: once.from, until: once.until, nextChange: at(next), unapproved: false },
    });
  });

  it('is over at its end, and as soon as somebody has closed it', () => {
    expect(windowAt(once, once.until)).toEqual({ state: 'over' });
    const closed = { ...once, closed: { by: 'op', at: once.from, reason: 'enough' } };
    expect(windowAt(closed, once.from)).toEqual({ state: 'over' });
    expect(windowAt(closed, once.from - 1)).toEqual({ state: 'over' });
  });

  it('waits for a second person where one is needed, but not beyond its end', () => {
    const asked = { ...once, approval: { by: null, at: null } };
    expect(windowAt(asked, once.from + 1)).toMatchObject({
      state: 'waiting',
      unapproved: true,
      nextChange: once.until,
    });
    expect(windowAt(asked, once.until)).toEqual({ state: 'over' });
    const agreed = { ...once, approval: { by: 'other', at: once.from } };
    expect(windowAt(agreed, once.from + 1)).toMatchObject({ state: 'open', unapproved: false });
  });
});

describe('a switch whose window comes back', () => {
  const night = timed({ repeat: nightly('0 23 * * *', 6) });
  it.each([
    ['2026-02-10T12:00Z', 'waiting', '2026-03-01T00:00Z', '2026-03-01T05:00Z'], // begun the evening before, cut
    ['2026-03-01T04:59Z', 'open', '2026-03-01T00:00Z', '2026-03-01T05:00Z'],
    ['2026-03-01T05:00Z', 'between', '2026-03-01T23:00Z', '2026-03-02T05:00Z'],
    ['2026-03-01T23:00Z', 'open', '2026-03-01T23:00Z', '2026-03-02T05:00Z'],
    ['2026-03-02T04:59:59Z', 'open', '2026-03-01T23:00Z', '2026-03-02T05:00Z'],
    ['2026-04-29T22:00Z', 'between', '2026-04-29T23:00Z', '2026-04-30T00:00Z'], // the end cuts the last one
  ])('is at %s %s: from %s until %s', (now, state, from, until) => {
    expect(windowAt(night, at(now))).toMatchObject({ state, from: at(from), until: at(until) });
  });

  it('has not been open before its first window', () => {
    const noon = timed({ repeat: nightly('0 12 * * *', 1) });
    expect(windowAt(noon, at('2026-03-01T00:00Z'))).toMatchObject({
      state: 'waiting',
      from: at('2026-03-01T12:00Z'),
    });
    expect(windowAt(noon, at('2026-03-01T13:00Z'))).toMatchObject({
      state: 'between',
      from: at('2026-03-02T12:00Z'),
    });
  });

  it('is over when no window is left, though its end is still to come', () => {
    const mornings = timed({ repeat: nightly('0 1 * * *', 1) });
    expect(windowAt(mornings, at('2026-04-29T01:59Z')).state).toBe('open');
    expect(windowAt(mornings, at('2026-04-29T02:00Z'))).toEqual({ state: 'over' });
  });

  it('goes by the clocks of its zone, also when they change', () => {
    const paris = timed({ repeat: nightly('0 23 * * *', 1, 'Europe/Paris') });
    expect(windowAt(paris, at('2026-03-28T22:00Z')).state).toBe('open');
    expect(windowAt(paris, at('2026-03-29T22:00Z')).state).toBe('between');
    expect(windowAt(paris, at('2026-03-29T21:00Z')).state).toBe('open');
  });

  it('joins windows that overlap', () => {
    const often = timed({ repeat: Repetition.parse({ cron: '*/10 * * * *', forMs: 1_200_000 }) });
    const window = windowAt(often, at('2026-03-05T00:15Z'));
    expect(window).toMatchObject({ state: 'open', nextChange: at('2026-03-05T00:20Z') });
    for (let minute = 0; minute < 60; minute += 1) {
      expect(windowAt(often, at('2026-03-05T00:00Z') + minute * 60_000).state).toBe('open');
    }
  });
});

describe('a repetition', () => {
  it.each(['0 23 * * *', '*/5 9-17 * * mon-fri', '0 0 1,15 * *', '30 2 29 2 *', '0-30/10 * * JAN SUN'])(
    'is understood: %s',
    (cron) => {
      expect(Repetition.safeParse({ cron, forMs: 1_000 }).success).toBe(true);
    },
  );

  it.each([
    '',
    'daily',
    '@daily',
    '* * * *',
    '* * * * * *',
    '61 * * * *',
    '0 0 ? * *',
    '0 0 L * *',
    '0 0 30 2 *',
    '5/5 * * * *',
  ])('is refused: %j', (cron) => {
    const { error } = Repetition.safeParse({ cron, forMs: 1_000 });
    expect(error?.issues[0]?.message).toMatch(/five fields|never comes|cannot be understood/);
  });

  it('is refused in a zone that nobody knows', () => {
    const { error } = Repetition.safeParse({ cron: '0 0 * * *', forMs: 1_000, zone: 'Mars/Base' });
    expect(error?.issues[0]?.message).toMatch(/no time zone.*Europe\/Paris/);
  });
});

describe('a time', () => {
  it.each([
    '2026-03-01',
    '2026-03-01T00:00',
    '2026-02-30T00:00Z',
    '2026-13-01T00:00Z',
    '2026-03-01T24:30Z',
    'now',
  ])('is refused: %j', (text) => {
    expect(msOfIso(text)).toBeUndefined();
  });
  it('says whose clock it is of', () => {
    expect(msOfIso('2026-03-01T01:00+01:00')).toBe(at('2026-03-01T00:00:00Z'));
  });
});
