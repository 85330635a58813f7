/**
 * What the clocks on the walls of a zone show, and when. Their times are numbers as well: the ms of 1970 in UTC that
 * would be written the same. Clocks are put forward and back; here that never makes a later time come earlier: what
 * they leave out is when they are put forward, and what they show twice is the first time.
 */
import { msOfIso } from './iso-time.ts';

const MINUTE = 60_000;
const DAY = 1_440 * MINUTE;

/** @returns the earliest moment at which the clocks have shown `wall` or more, Unix ms */
export function momentOf(wall: number, zone: string): number {
  // No zone changes its clocks twice in two days.
  const [before, after] = [offsetAt(wall - DAY, zone), offsetAt(wall + DAY, zone)];
  const early = wall - Math.max(before, after);
  const late = wall - Math.min(before, after);
  if (before === after) return early;
  const change = changeBetween(wall - DAY, wall + DAY, zone);
  if (after < before) return early < change ? early : late;
  if (late < change) return late;
  return Math.max(early, change);
}

/** @returns the most that the clocks have shown up to this moment: what they show, unless they were just put back */
export function mostShown(moment: number, zone: string): number {
  const [before, now] = [offsetAt(moment - DAY, zone), offsetAt(moment, zone)];
  if (before <= now) return moment + now;
  const change = changeBetween(moment - DAY, moment, zone);
  return Math.max(moment + now, change + before - 1);
}

/** @returns the first moment with the offset that holds at `end`; clocks are changed at whole minutes */
function changeBetween(start: number, end: number, zone: string): number {
  const after = offsetAt(end, zone);
  let [low, high] = [Math.floor(start / MINUTE), Math.ceil(end / MINUTE)];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offsetAt(middle * MINUTE, zone) === after) high = middle;
    else low = middle;
  }
  return high * MINUTE;
}

/** Offsets by zone and day of UTC; of days in which clocks are changed, null. */
const days = new Map<string, Map<number, number | null>>();
/** Nobody asks about more at a time; then all is forgotten. */
const MOST_DAYS = 1_024;

/** @returns what the zone's clocks are ahead of UTC, in ms */
function offsetAt(moment: number, zone: string): number {
  const day = Math.floor(moment / DAY);
  const ofZone = days.get(zone) ?? new Map<number, number | null>();
  const known = ofZone.get(day);
  if (known !== undefined) return known ?? readOffset(moment, zone);
  const [first, last] = [readOffset(day * DAY, zone), readOffset((day + 1) * DAY, zone)];
  if (ofZone.size >= MOST_DAYS) ofZone.clear();
  days.set(zone, ofZone.set(day, first === last ? first : null));
  return first === last ? first : readOffset(moment, zone);
}

function readOffset(moment: number, zone: string): number {
  if (zone === 'UTC') return 0;
  const second = Math.floor(moment / 1_000) * 1_000;
  const shown = msOfIso(`${formatOf(zone).format(second).replace(' ', 'T')}Z`);
  return shown === undefined ? 0 : shown - second;
}

/** Making one takes longer than using it a hundred times. */
const formats = new Map<string, Intl.DateTimeFormat>();

/** Sweden writes 2030-01-31 12:00:00. */
function formatOf(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' });
  formats.set(zone, made);
  return made;
}
