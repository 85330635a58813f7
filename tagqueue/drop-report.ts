/** Tells the server what was refused here, a little at a time: the server is told of every tenant, not of every packet. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../linux/api-client.ts';
import { type DropEvent, type DropReport, MOST_REPORTED } from '../model/drop.ts';
import { asSluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import type { NodeName } from '../model/names.ts';
import type { DropLog } from './drops.ts';

const EVERY_MS = 1_000;
/** Waiting to be told; of each tenant, and of how many tenants. */
const WAITING_PER_TENANT = 50;
const TENANTS_WAITING = 200;

/** What waits to be told. It is bounded, and nobody's flood takes another's place in it. */
export interface Outbox {
  add(event: DropEvent): void;
  /** At most so many, of all tenants in turn, oldest first. */
  take(most: number): DropEvent[];
}

export function createOutbox(): Outbox {
  const waiting = new Map<number, DropEvent[]>();
  return {
    add(event): void {
      const events = waiting.get(event.tag) ?? [];
      if (events.length >= WAITING_PER_TENANT || (events.length === 0 && waiting.size >= TENANTS_WAITING))
        return;
      waiting.set(event.tag, events);
      events.push(event);
    },
    take(most): DropEvent[] {
      const taken: DropEvent[] = [];
      while (taken.length < most) {
        const [next] = waiting;
        if (next === undefined) break;
        const [tag, events] = next;
        taken.push(...events.splice(0, 1));
        // Whose turn it was goes to the end, as a Map keeps the order of insertion.
        waiting.delete(tag);
        if (events.length > 0) waiting.set(tag, events);
      }
      return taken;
    },
  };
}

/** Runs until the signal. While the server is away what was refused is forgotten, but for the last of each tenant. */
export async function reportDrops(
  log: Pick<DropLog, 'follow'>,
  server: Pick<ApiClient, 'request'>,
  node: NodeName,
  signal: AbortSignal,
  to: Log,
): Promise<void> {
  const outbox = createOutbox();
  void collect(log, outbox, signal);
  while (!signal.aborted) {
    await sleep(EVERY_MS, undefined, { signal }).catch(() => undefined);
    const events = outbox.take(MOST_REPORTED);
    if (events.length === 0 || signal.aborted) continue;
    const report: DropReport = { events };
    await server
      .request('POST', `/v1/nodes/${node}/drops`, report)
      .catch((error: unknown) =>
        to.debug({ reason: asSluiceError(error).message }, 'the server was not told what was refused'),
      );
  }
}

async function collect(log: Pick<DropLog, 'follow'>, outbox: Outbox, signal: AbortSignal): Promise<void> {
  for await (const item of log.follow(signal)) if (!('missed' in item)) outbox.add(item);
}
