/**
 * When a switch is open on this node. The wall clock opens it; two clocks end it, the wall clock and the time since boot,
 * whichever is first to say that it is over, and that is remembered. So a clock that jumps forth ends a switch at the time
 * on its face, one that jumps back prolongs nothing and opens nothing again, and a reboot changes neither
 * (docs/decisions/0053-two-clocks-end-a-switch.md). Pure: (what was kept, the switch, the moment) → what to keep.
 */
import * as z from 'zod';
import type { Moment } from '../linux/clock.ts';
import type { Switch } from '../model/switch.ts';

/** From `from` on, and no longer at `until`; Unix ms. */
export interface Window {
  readonly from: number;
  readonly until: number;
}

/** What a node keeps of a switch: the last of its windows that was open here. */
export const KeptWindow = z.strictObject({
  from: z.number(),
  until: z.number(),
  /** The boot that `deadline` counts from. */
  bootId: z.string(),
  /** When it is over, in ms since that boot. */
  deadline: z.number(),
  /** Milliseconds left when this was written: what counts after a reboot. */
  left: z.number(),
  /** No clock opens it again. */
  over: z.boolean(),
});
export type KeptWindow = z.infer<typeof KeptWindow>;

/**
 * @param kept       undefined: it never was open here
 * @param candidate  the window of the switch that has begun and should be open now; undefined: there is none
 * @returns what to keep from now on; the same object when nothing has happened but time
 */
export function stepWindow(
  kept: KeptWindow | undefined,
  change: Pick<Switch, 'until' | 'repeat'>,
  candidate: Window | undefined,
  now: Moment,
): KeptWindow | undefined {
  const isNew = candidate !== undefined && (kept === undefined || candidate.from > kept.from);
  if (isNew && now.wall < candidate.until) return begin(candidate, now);
  if (kept === undefined) return undefined;
  const here = kept.bootId === now.bootId ? kept : afterReboot(kept, now);
  const moved = withEnd(here, endOf(change, kept), now);
  return !moved.over && isOver(moved, now) ? { ...moved, left: leftAt(moved, now), over: true } : moved;
}

/** What is worth writing down although nothing has happened: how much time is left. */
export function checkpoint(kept: KeptWindow, now: Moment): KeptWindow {
  return kept.over ? kept : { ...kept, left: leftAt(kept, now) };
}

/** @returns ms until a clock says that it is over; undefined when one has */
export function timeLeft(kept: KeptWindow, now: Moment): number | undefined {
  return kept.over ? undefined : Math.max(0, Math.min(kept.until - now.wall, leftAt(kept, now)));
}

function begin({ from, until }: Window, now: Moment): KeptWindow {
  const left = until - Math.max(now.wall, from);
  return { from, until, bootId: now.bootId, deadline: now.boot + left, left, over: false };
}

function afterReboot(kept: KeptWindow, { boot, bootId }: Moment): KeptWindow {
  return { ...kept, bootId, deadline: boot + kept.left };
}

/** An operator's word: what both clocks say moves by as much, and what was over may be open again. */
function withEnd(kept: KeptWindow, until: number, now: Moment): KeptWindow {
  if (until === kept.until) return kept;
  const by = until - kept.until;
  const moved = { ...kept, until, deadline: kept.deadline + by, left: kept.left + by };
  return { ...moved, over: isOver(moved, now) || (kept.over && by < 0) };
}

/** One of many windows only ends sooner, with its switch. */
function endOf({ until, repeat }: Pick<Switch, 'until' | 'repeat'>, kept: KeptWindow): number {
  return repeat === null ? until : Math.min(until, kept.until);
}

function isOver({ until, deadline }: KeptWindow, { wall, boot }: Moment): boolean {
  return wall >= until || boot >= deadline;
}

function leftAt({ deadline }: KeptWindow, { boot }: Moment): number {
  return deadline - boot;
}
