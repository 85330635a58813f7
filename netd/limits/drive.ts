/** Lets the keeper of limits work: when something has changed, when a switch opens or ends, and at intervals. */

import { createAlarm } from '../../linux/alarm.ts';
import { endpointKey } from '../../model/endpoint.ts';
import { asSluiceError } from '../../model/errors.ts';
import type { Log } from '../../model/log.ts';
import type { LimitsKeeper } from './keeper.ts';
import { inParallel } from './parallel.ts';

/** A clock that somebody moves is noticed after at most this long. */
const LOOK_MS = 1_000;
/** Everything is read and compared this often: what somebody else has changed is repaired within ten seconds. */
const FULL_MS = 5_000;
/** A runtime needs some 20 to 300 ms from the network to the first process; a minute later it is not to be expected. */
const FIRST_SEARCH_MS = 20;
const SLOW_SEARCH_MS = 320;
const SLOW_FROM_MS = 60_000;
const LAST_SEARCH_MS = 5_000;
/** Containers looked for at one time: each search may read all of /proc. */
const SEARCHERS = 4;
/** Many that go at once are one change. */
const SOON_MS = 100;

export interface LimitsDriver {
  /** Something that limits depend on has changed. */
  request(): void;
  /** A container has come: its rates are held already, its cgroup is looked for. */
  attached(): void;
  /** A container has gone: what is left of its rates can wait a little. */
  released(): void;
  /** Waits for what is under way. What holds in the kernel goes on to hold. */
  stop(): Promise<void>;
}

/** @param settled  called whenever the kernel was brought to what holds; with whether others than containers have changed */
export function driveLimits(
  keeper: LimitsKeeper,
  settled: (urgent: boolean) => void,
  log: Log,
): LimitsDriver {
  const stopping = new AbortController();
  const alarm = createAlarm(stopping.signal);
  const search = createAlarm(stopping.signal);
  let asked = true;

  async function keep(): Promise<void> {
    let fullAt = 0;
    while (!stopping.signal.aborted) {
      const full = performance.now() >= fullAt;
      let nextMs = LOOK_MS;
      try {
        const times = await keeper.look();
        nextMs = Math.min(nextMs, times.nextMs);
        if (asked || full || times.changed) {
          asked = false;
          const before = keeper.revision();
          await keeper.settle(full);
          settled(times.changed || keeper.revision() !== before);
        }
        await keeper.writeDown();
      } catch (error) {
        asked = true;
        log.error({ reason: asSluiceError(error).message, err: error }, 'limits could not be settled');
      }
      if (full) fullAt = performance.now() + FULL_MS;
      await alarm.sleep(Math.min(nextMs, fullAt - performance.now()));
    }
  }

  async function seek(): Promise<void> {
    const pauses = new Map<string, { readonly since: number; readonly ms: number; readonly at: number }>();
    while (!stopping.signal.aborted) {
      const unfound = keeper.unfound();
      const now = performance.now();
      const keys = new Set(unfound.map(endpointKey));
      for (const key of pauses.keys()) if (!keys.has(key)) pauses.delete(key);
      const due = unfound.filter((one) => (pauses.get(endpointKey(one))?.at ?? 0) <= now);
      let found = false;
      await inParallel(due, SEARCHERS, async (endpoint) => {
        const key = endpointKey(endpoint);
        const { since, ms: last } = pauses.get(key) ?? { since: now, ms: FIRST_SEARCH_MS / 2 };
        const ms = now - since > SLOW_FROM_MS ? LAST_SEARCH_MS : Math.min(2 * last, SLOW_SEARCH_MS);
        pauses.set(key, { since, ms, at: performance.now() + ms });
        const here = await keeper.seek(endpoint).catch((error: unknown) => {
          log.debug({ container: key, reason: asSluiceError(error).message }, 'no cgroup yet');
          return false;
        });
        found ||= here;
      });
      if (found) request();
      const next = Math.min(LAST_SEARCH_MS, ...[...pauses.values()].map(({ at }) => at - performance.now()));
      // Many that are due one after the other are looked for together.
      await search.sleep(Math.max(FIRST_SEARCH_MS, next));
    }
  }

  function request(): void {
    asked = true;
    alarm.ring();
    search.ring();
  }

  const running = [keep(), seek()];
  const later = createLater();
  return {
    request,
    attached: () => {
      later('search', FIRST_SEARCH_MS, () => search.ring());
      if (keeper.rates.isUnread()) later('settle', SOON_MS, request);
    },
    released: () => later('settle', SOON_MS, request),
    async stop(): Promise<void> {
      stopping.abort();
      await Promise.all(running);
    },
  };
}

/** What is asked for several times before it is done is done once. */
function createLater(): (what: string, ms: number, work: () => void) => void {
  const waiting = new Set<string>();
  return (what, ms, work) => {
    if (waiting.has(what)) return;
    waiting.add(what);
    setTimeout(() => {
      waiting.delete(what);
      work();
    }, ms).unref();
  };
}
