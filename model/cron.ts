/** Times that come back, as crontab(5) writes them: five fields, in a time zone. */
import { Cron } from 'croner';
import { dateOf } from './iso-time.ts';
import { momentOf, mostShown } from './wall-clock.ts';

/** One field: numbers, names, ranges, steps and lists. What else croner knows (L, W, #, ?, @daily) is not crontab(5). */
const FIELD =
  /^(?:\*|[0-9]+|[a-z]{3})(?:-(?:[0-9]+|[a-z]{3}))?(?:\/[0-9]+)?(?:,(?:\*|[0-9]+|[a-z]{3})(?:-(?:[0-9]+|[a-z]{3}))?(?:\/[0-9]+)?)*$/i;

export interface CronTimes {
  readonly cron: string;
  /** An IANA time zone. */
  readonly zone: string;
}

/** What is wrong with the fields; undefined: nothing. */
export function cronProblem(cron: string): string | undefined {
  const fields = cron.trim().split(/\s+/);
  if (fields.length !== 5 || !fields.every((field) => FIELD.test(field))) {
    return "must be five fields as in crontab(5): minute, hour, day, month, day of the week; such as '0 23 * * *'";
  }
  try {
    const never = patternOf({ cron, zone: 'UTC' }).nextRun(dateOf(0)) === null;
    return never ? 'is a time that never comes' : undefined;
  } catch (error) {
    return `cannot be understood: ${error instanceof Error ? error.message.replace(/^CronPattern: /, '') : error}`;
  }
}

/** What is wrong with the name of a zone; undefined: nothing. */
export function zoneProblem(zone: string): string | undefined {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return undefined;
  } catch {
    return `${JSON.stringify(zone)} is no time zone; say one of the IANA names, such as Europe/Paris or UTC`;
  }
}

/** @returns the last time that is after `after` and not after `now`, Unix ms; undefined when there is none */
export function lastTime(times: CronTimes, after: number, now: number): number | undefined {
  const first = nextTime(times, after);
  if (first === undefined || first > now) return undefined;
  let last = first;
  // Every time that is found moves `last` up; every half without one moves `end` down.
  let end = now;
  while (end - last >= MINUTE) {
    const middle = last + Math.floor((end - last) / 2);
    const next = nextTime(times, middle);
    if (next !== undefined && next <= now) last = next;
    else end = middle;
  }
  const next = nextTime(times, last);
  return next !== undefined && next <= now ? next : last;
}

const MINUTE = 60_000;

/**
 * What clocks leave out when they are put forward is when they are put forward, and what they show twice is once: the
 * first time (model/wall-clock.ts).
 * @returns the first time after `now`, Unix ms; undefined when there will be none for years
 */
export function nextTime(times: CronTimes, now: number): number | undefined {
  const wall = patternOf(times)
    .nextRun(dateOf(mostShown(now, times.zone)))
    ?.getTime();
  return wall === undefined ? undefined : momentOf(wall, times.zone);
}

/** Reading a pattern takes half a millisecond; it is asked again with every look at the switches. */
const patterns = new WeakMap<CronTimes, Cron>();

/**
 * In UTC: in zones whose clocks change, what croner calls next can be past, or an hour too late. As an offset, which
 * takes croner a twentieth of the time that the zone UTC does.
 */
function patternOf(times: CronTimes): Cron {
  const known = patterns.get(times);
  if (known !== undefined) return known;
  const made = new Cron(times.cron.trim(), { utcOffset: 0, mode: '5-part' });
  patterns.set(times, made);
  return made;
}
