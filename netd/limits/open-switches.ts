/** Which switches are open on this node, by its own clocks and what it has written down of them. */
import type { Clock, Moment } from '../../linux/clock.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import type { Log } from '../../model/log.ts';
import type { Switch, SwitchId } from '../../model/switch.ts';
import { windowAt } from '../../model/switch-windows.ts';
import { checkpoint, KeptWindow, stepWindow, timeLeft, type Window } from '../../qos/windows.ts';
import type { Store } from '../../store/contract.ts';

const WINDOWS = 'limits/windows/';
/** What a reboot may cost of an open switch's time. */
const CHECKPOINT_MS = 10_000;

/** Two clocks that nobody has moved agree within this. */
const CLOCKS_AGREE_MS = 1_000;

export interface OpenSwitches {
  /**
   * Looks at the clocks. What a restart could not find out by itself is written down before it is told: a window that
   * opens, and one that only a clock that has jumped says is over. What else ends is told at once, whatever the disk does.
   */
  look(switches: Iterable<Switch>): Promise<SwitchTimes>;
  /** Writes down what was only told so far; when limits are brought to it, there is time for a slow disk. */
  writeDown(): Promise<void>;
}

export interface SwitchTimes {
  readonly open: readonly Switch[];
  /** Of those that are open, ms until each ends here. */
  readonly left: ReadonlyMap<SwitchId, number>;
  /** ms until the next one opens or ends, as far as the clocks can tell now. */
  readonly nextMs: number;
}

/** @throws SluiceError `store_failed` when what was written down cannot be read */
export async function openSwitches(store: Store, clock: Clock, log: Log): Promise<OpenSwitches> {
  const kept = await load(store);
  let writtenAt = Number.NEGATIVE_INFINITY;

  /** What the disk does not know yet; undefined: to be forgotten. */
  const unwritten = new Map<SwitchId, KeptWindow | undefined>();

  /** @returns whether all of it is on disk */
  async function write(): Promise<boolean> {
    if (unwritten.size === 0) return true;
    const all = [...unwritten];
    try {
      await store.txn({
        put: all.flatMap(([id, value]) => (value === undefined ? [] : [{ key: WINDOWS + id, value }])),
        delete: all.flatMap(([id, value]) => (value === undefined ? [WINDOWS + id] : [])),
      });
    } catch (error) {
      log.error(
        { reason: asSluiceError(error).message },
        'switches cannot be written down: none opens, and those that are open end',
      );
      return false;
    }
    for (const [id, value] of all) if (unwritten.get(id) === value) unwritten.delete(id);
    return true;
  }

  const isKnown = (id: SwitchId, { from }: KeptWindow): boolean => kept.get(id)?.from === from;
  const forget = (all: ReadonlyMap<SwitchId, Switch>): void => {
    for (const id of [...kept.keys(), ...unwritten.keys()]) {
      if (all.has(id)) continue;
      kept.delete(id);
      unwritten.set(id, undefined);
    }
  };

  return {
    async look(switches): Promise<SwitchTimes> {
      const now = clock();
      const all = new Map([...switches].filter(({ closed }) => closed === null).map((one) => [one.id, one]));
      const due = now.boot - writtenAt >= CHECKPOINT_MS || now.boot < writtenAt;
      forget(all);
      const { next, changed } = stepAll(all.values(), kept, now, due);
      if (changed.size > 0) writtenAt = now.boot;
      for (const [id, value] of changed) unwritten.set(id, value);
      const isNews = ([id, value]: [SwitchId, KeptWindow]): boolean =>
        !isKnown(id, value) || (value.over && value.left > CLOCKS_AGREE_MS);
      const written = [...changed].some(isNews) && (await write());
      for (const [id, value] of next) if (written || isKnown(id, value)) kept.set(id, value);
      return timesOf(all, kept, now);
    },
    async writeDown(): Promise<void> {
      await write();
    },
  };
}

type Kept = Map<SwitchId, KeptWindow>;

/** @param due  whether it is time to write down how much is left of those that are open */
function stepAll(
  switches: Iterable<Switch>,
  kept: ReadonlyMap<SwitchId, KeptWindow>,
  now: Moment,
  due: boolean,
): { readonly next: Kept; readonly changed: Kept } {
  const next: Kept = new Map();
  const changed: Kept = new Map();
  for (const one of switches) {
    const before = kept.get(one.id);
    const after = stepWindow(before, one, windowNow(one, now), now);
    if (after === undefined) continue;
    next.set(one.id, after);
    if (after !== before || (due && !after.over)) changed.set(one.id, checkpoint(after, now));
  }
  return { next, changed };
}

async function load(store: Store): Promise<Map<SwitchId, KeptWindow>> {
  const { entries } = await store.list(WINDOWS);
  return new Map(
    entries.map(({ key, value }) => {
      const parsed = KeptWindow.safeParse(value);
      if (!parsed.success)
        throw new SluiceError(
          'store_failed',
          `the record ${key} cannot be read`,
          'run the sluice that wrote it, or put a backup of netd.sqlite in its place',
        );
      return [key.slice(WINDOWS.length) as SwitchId, parsed.data];
    }),
  );
}

/** What was opened 'from now on' is open, whatever this node's own clock says of that: the server's word is newer. */
function windowNow(one: Switch, { wall }: Moment): Window | undefined {
  const window = windowAt(one, wall);
  if (window.state === 'over') return undefined;
  const atOnce = one.repeat === null && one.from <= one.openedAt && !window.unapproved;
  return window.state === 'open' || atOnce ? window : undefined;
}

function timesOf(
  all: ReadonlyMap<SwitchId, Switch>,
  kept: ReadonlyMap<SwitchId, KeptWindow>,
  now: Moment,
): SwitchTimes {
  const left = new Map<SwitchId, number>();
  let nextMs = Number.POSITIVE_INFINITY;
  for (const one of all.values()) {
    const window = kept.get(one.id);
    const rest = window && timeLeft(window, now);
    if (rest !== undefined) left.set(one.id, rest);
    const change = windowAt(one, now.wall);
    const opens = change.state === 'over' ? Number.POSITIVE_INFINITY : change.nextChange - now.wall;
    nextMs = Math.min(nextMs, rest ?? Number.POSITIVE_INFINITY, opens);
  }
  return { open: [...all.values()].filter(({ id }) => left.has(id)), left, nextMs };
}
