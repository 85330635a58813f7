/** Puts switches whose time is over into the history. Nodes end them by themselves; this keeps the books. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SluiceError } from '../../model/errors.ts';
import type { Log } from '../../model/log.ts';
import type { Switch } from '../../model/switch.ts';
import { windowAt } from '../../model/switch-windows.ts';
import type { Store } from '../../store/contract.ts';
import type { LimitReports } from './limit-reports.ts';
import type { Mutate } from './mutate.ts';
import { detailOfEnding } from './switch-audit.ts';
import { readWorld } from './switch-planning.ts';
import { liveSwitches, toHistory } from './switch-store.ts';

export interface SwitchClockOptions {
  readonly store: Store;
  readonly limits: LimitReports;
  readonly mutate: Mutate;
  /** Unix time in ms. */
  readonly now: () => number;
  /** Called at each point where a crash would be interesting; names in docs/configuration.md. */
  readonly checkpoint: (point: string) => void;
  readonly log: Log;
}

export interface SwitchClock {
  /** Begins to look: once, when it is certain that no other server does on this store. */
  start(): void;
  /** A switch was opened, changed or closed. @param what  for tests of crashes */
  changed(what: 'opened' | 'extended' | 'approved' | 'closed'): void;
  close(): Promise<void>;
}

/** The wall clock may be set at any time, so it is looked at again and again. */
const LOOK_EVERY_MS = 500;
/** Another server on the same store may have opened one. */
const READ_EVERY_LOOKS = 120;

/** It does nothing yet. */
export function makeSwitchClock(options: SwitchClockOptions): SwitchClock {
  const stop = new AbortController();
  /** When the next one ends, Unix ms; undefined: to be read again. */
  let next: number | undefined;
  /** How often that has been asked for. */
  let changes = 0;
  let running = Promise.resolve();

  async function look(): Promise<void> {
    const asked = changes;
    try {
      const found = await endThoseThatAreOver(options);
      next = asked === changes ? found : undefined;
    } catch (error) {
      if (!stop.signal.aborted)
        options.log.error({ err: error }, 'switches that are over could not be put away; trying again');
    }
  }

  async function run(): Promise<void> {
    for (let looks = 0; !stop.signal.aborted; looks++) {
      if (next === undefined || looks % READ_EVERY_LOOKS === 0 || options.now() >= next) await look();
      await sleep(LOOK_EVERY_MS, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  }

  return {
    start: () => {
      running = run();
    },
    changed: (what) => {
      next = undefined;
      changes += 1;
      options.checkpoint(`switch:${what}`);
    },
    close: async () => {
      stop.abort();
      await running;
    },
  };
}

/** @returns when the next one ends, Unix ms */
async function endThoseThatAreOver(options: SwitchClockOptions): Promise<number> {
  const { store, mutate, now, checkpoint, log } = options;
  const live = (await liveSwitches(store)).map(({ one }) => one);
  const due = live.filter((one) => isOver(one, now()));
  if (due.length > 0) {
    checkpoint('switch:ending');
    await mutate(
      {
        who: { role: 'server' },
        operation: 'switch.close',
        subject: namesOf(due),
        reason: 'its time is over',
      },
      async () => {
        // Somebody may have extended or closed one meanwhile.
        const still = (await liveSwitches(store)).map(({ one }) => one).filter((one) => isOver(one, now()));
        if (still.length === 0) throw nothingLeft();
        const world = await readWorld(options);
        const detail = detailOfEnding(still, world, Math.min(...still.map(({ until }) => until)) - 1);
        return { ...(await toHistory(store, still)), detail, result: undefined };
      },
    ).catch((error: unknown) => {
      if (!(error instanceof SluiceError && error.code === 'conflict')) throw error;
    });
    log.info({ switches: due.map(({ id }) => id) }, 'switches have come to their end');
    checkpoint('switch:ended');
  }
  // A repetition is over when no window of it is left, which may be before its end.
  return Math.min(...live.filter((one) => !due.includes(one)).map((one) => endOf(one, now())));
}

function isOver(one: Switch, now: number): boolean {
  return windowAt(one, now).state === 'over';
}

function endOf(one: Switch, now: number): number {
  const window = windowAt(one, now);
  return window.state === 'over' ? now : window.nextChange;
}

function namesOf(switches: readonly Switch[]): string {
  const named = switches.slice(0, 10).map(({ id, name }) => `${name} ${id}`);
  const more = switches.length > 10 ? ` and ${switches.length - 10} more` : '';
  return `switch ${named.join(', ')}${more}`;
}

function nothingLeft(): SluiceError {
  return new SluiceError('conflict', 'these switches are no longer there', 'look again');
}
