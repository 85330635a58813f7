/** When a switch is open: from its beginning to its end, or in the windows that come back between the two. */
import { lastTime, nextTime } from './cron.ts';
import type { Repetition, Switch } from './switch.ts';

/**
 * `waiting`: it has not been open yet; `between`: it has, and will be again; `over`: never again. Of `open` the window
 * that it is in now; of `waiting` and `between` the next one. All times are Unix ms.
 */
export type Window =
  | {
      readonly state: 'waiting' | 'open' | 'between';
      readonly from: number;
      readonly until: number;
      /** Until then this answer holds. */
      readonly nextChange: number;
      /** It would be open, or will be, as soon as a second person agrees. */
      readonly unapproved: boolean;
    }
  | { readonly state: 'over' };

const OVER: Window = { state: 'over' };

type Timed = Pick<Switch, 'from' | 'until' | 'repeat' | 'closed' | 'approval'>;

/**
 * @param now  Unix ms
 * @returns `over` for what was closed, whatever its times; what needs a second person's word is `waiting` without it
 */
export function windowAt(timed: Timed, now: number): Window {
  const { closed, approval } = timed;
  if (closed !== null || now >= timed.until) return OVER;
  const window = timed.repeat === null ? onceAt(timed, now) : repeatedAt(timed, timed.repeat, now);
  if (window.state === 'over' || approval === null || approval.at !== null) return window;
  // Nobody can tell when it will be approved: look again when it could not be any more.
  return { ...window, state: 'waiting', nextChange: timed.until, unapproved: true };
}

export function isOpenAt(timed: Timed, now: number): boolean {
  return windowAt(timed, now).state === 'open';
}

function onceAt({ from, until }: Timed, now: number): Window {
  if (now < from) return { state: 'waiting', from, until, nextChange: from, unapproved: false };
  return { state: 'open', from, until, nextChange: until, unapproved: false };
}

/** A window that began before the switch counts from the switch's beginning, and none outlives its end. */
function repeatedAt(timed: Timed, repeat: Repetition, now: number): Window {
  const cut = (start: number): { from: number; until: number } => ({
    from: Math.max(start, timed.from),
    until: Math.min(start + repeat.forMs, timed.until),
  });
  const begun = lastTime(repeat, now - repeat.forMs, now);
  if (now >= timed.from && begun !== undefined) {
    const window = cut(begun);
    const again = nextTime(repeat, now);
    // Where windows overlap, the next one begins before this one ends, and moves the end.
    const nextChange = Math.min(window.until, again ?? window.until);
    return { state: 'open', ...window, nextChange, unapproved: false };
  }
  const next = nextStart(timed, repeat, now);
  if (next === undefined || next >= timed.until) return OVER;
  const window = cut(next);
  const been = now >= timed.from && (nextTime(repeat, timed.from - repeat.forMs) ?? now) < now;
  return { state: been ? 'between' : 'waiting', ...window, nextChange: window.from, unapproved: false };
}

/** The beginning of the next window, or of the one that will be open already when the switch begins. */
function nextStart({ from }: Timed, repeat: Repetition, now: number): number | undefined {
  if (now >= from) return nextTime(repeat, now);
  return lastTime(repeat, from - repeat.forMs, from) ?? nextTime(repeat, from);
}
