/** What the plane refused: totals by reason, and packet by packet for whoever watches. */
import { type BpfMap, sumPerCpu } from '../linux/bpf.ts';
import { interfaceName } from '../linux/interface-name.ts';
import { openRing, type RingReader } from '../linux/ring.ts';
import type { IfName } from '../model/names.ts';
import { type DropRecord, decodeDrop } from './drop-record.ts';
import { DROP_REASONS, type DropReason, meaningOfReason, numberOfReason } from './reasons.ts';

export interface DropCount {
  readonly reason: DropReason;
  readonly meaning: string;
  readonly packets: number;
}

/** One refused packet. */
export interface DropEvent extends Omit<DropRecord, 'monotonicNs'> {
  /** ISO 8601, UTC. */
  readonly time: string;
  /** Undefined when the interface is gone. */
  readonly interface: IfName | undefined;
}

/** In the place of events that came faster than they could be passed on. */
export interface MissedEvents {
  readonly missed: number;
}

/** @param drops  the map of this name */
export function countDrops(drops: BpfMap): DropCount[] {
  return DROP_REASONS.map((reason) => ({
    reason,
    meaning: meaningOfReason(reason),
    packets: Number(sumPerCpu(drops, numberOfReason(reason))),
  }));
}

/** The ring is looked at only while somebody watches; the programs never wake anybody. */
const POLL_MS = 100;
/** Per watcher. A watcher slower than its events is told how many it missed. */
const LONGEST_QUEUE = 1_000;

export interface DropFeed {
  /** Packets refused from now on; ends with the signal. */
  follow(signal: AbortSignal): AsyncGenerator<DropEvent | MissedEvents>;
  close(): void;
}

interface Watcher {
  queue: DropEvent[];
  missed: number;
  wake: () => void;
}

/** @param dropLog  the map of this name */
export function openDropFeed(dropLog: BpfMap): DropFeed {
  const watchers = new Set<Watcher>();
  let reading: { readonly ring: RingReader; readonly timer: NodeJS.Timeout } | undefined;

  function pass(): void {
    const events = (reading?.ring.consume() ?? []).map(toEvent);
    if (events.length === 0) return;
    for (const watcher of watchers) offer(watcher, events);
  }
  function start(): void {
    const ring = openRing(dropLog);
    ring.consume(); // what nobody watched is history
    reading = { ring, timer: setInterval(pass, POLL_MS) };
  }
  function stop(): void {
    clearInterval(reading?.timer);
    reading?.ring[Symbol.dispose]();
    reading = undefined;
  }

  return {
    async *follow(signal): AsyncGenerator<DropEvent | MissedEvents> {
      const watcher: Watcher = { queue: [], missed: 0, wake: () => undefined };
      if (reading === undefined) start();
      watchers.add(watcher);
      try {
        yield* eventsOf(watcher, signal);
      } finally {
        watchers.delete(watcher);
        if (watchers.size === 0) stop();
      }
    },
    close: stop,
  };
}

function offer(watcher: Watcher, events: readonly DropEvent[]): void {
  const room = LONGEST_QUEUE - watcher.queue.length;
  watcher.queue.push(...events.slice(0, room));
  watcher.missed += Math.max(0, events.length - room);
  watcher.wake();
}

async function* eventsOf(watcher: Watcher, signal: AbortSignal): AsyncGenerator<DropEvent | MissedEvents> {
  signal.addEventListener('abort', () => watcher.wake(), { once: true });
  while (!signal.aborted) {
    const { queue, missed } = watcher;
    watcher.queue = [];
    watcher.missed = 0;
    yield* queue;
    if (missed > 0) yield { missed };
    if (watcher.queue.length === 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        watcher.wake = resolve;
      });
    }
  }
}

function toEvent(record: Buffer): DropEvent {
  const { monotonicNs, ...drop } = decodeDrop(record);
  const agoMs = Number(process.hrtime.bigint() - monotonicNs) / 1e6;
  return {
    time: new Date(Date.now() - agoMs).toISOString(),
    interface: interfaceName(drop.ifindex),
    ...drop,
  };
}
