/** How a watch reads: from the kept history, at its own pace, so that a slow reader costs no memory. */
import type { WatchEvent } from './contract.ts';

/** A store's kept events, each with a number of its own besides the revision it shares. */
export interface History {
  /**
   * The number of the last event up to this revision.
   * @throws SluiceError `compacted`
   */
  cursorAt(revision: number): number;
  /**
   * Events of the prefix behind the cursor, at most `limit`, and the cursor to go on from.
   * @throws SluiceError `compacted` when events behind the cursor are gone.
   */
  eventsAfter(cursor: number, prefix: string, limit: number): { events: WatchEvent[]; cursor: number };
}

const BATCH = 256;

/** Yields what the history has, then sleeps until the bell rings; ends with the signal. */
export async function* follow(
  history: History,
  bell: Bell,
  prefix: string,
  fromRevision: number,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  let cursor = history.cursorAt(fromRevision);
  while (!signal.aborted && !bell.closed) {
    const read = history.eventsAfter(cursor, prefix, BATCH);
    for (const event of read.events) {
      yield event;
      if (signal.aborted) return;
    }
    cursor = read.cursor;
    if (read.events.length === 0) await bell.wait(signal);
  }
}

/**
 * Wakes sleeping watches when something was written here. While anyone sleeps it also asks `look` now and then,
 * which finds what no call in this process announces: ended leases and other processes' writes.
 */
export class Bell {
  readonly #look: () => boolean;
  readonly #pollMs: number;
  readonly #sleepers = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(look: () => boolean, pollMs: number) {
    this.#look = look;
    this.#pollMs = pollMs;
  }

  get closed(): boolean {
    return this.#closed;
  }

  ring(): void {
    for (const wake of [...this.#sleepers]) wake();
  }

  /** Resolves at the next ring, or when the signal fires, or on close. */
  wait(signal: AbortSignal): Promise<void> {
    if (this.#closed || signal.aborted) return Promise.resolve();
    this.#timer ??= setInterval(() => this.#poll(), this.#pollMs);
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        this.#sleepers.delete(wake);
        if (this.#sleepers.size === 0) this.#stopPolling();
        resolve();
      };
      signal.addEventListener('abort', wake);
      this.#sleepers.add(wake);
    });
  }

  close(): void {
    this.#closed = true;
    this.ring();
  }

  #poll(): void {
    let ring = true;
    try {
      ring = this.#look();
    } catch {
      // Woken watches read for themselves and meet the same error, where somebody can catch it.
    }
    if (ring) this.ring();
  }

  #stopPolling(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
