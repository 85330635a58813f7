/** Follows something the server streams, for as long as it takes: reconnects, remembers, and tells the newest. */
import type { Log } from '../model/log.ts';

/** Part of linux/api-client.ts that is needed here. */
export interface StreamSource {
  stream(path: string, signal: AbortSignal): AsyncIterable<unknown>;
}

/** Where the last known state outlives the process. */
export interface Remember<T> {
  /** @returns undefined when nothing was ever remembered */
  load(): Promise<T | undefined>;
  save(state: T): Promise<void>;
}

export interface Followed<T> {
  /** The newest state that is known; undefined only before the first contact ever. */
  current(): T | undefined;
  /**
   * The current state, if any, then each newer one until the signal fires. A reader that is slow skips to the
   * newest: states replace each other, so nothing is lost by it.
   */
  changes(): AsyncIterable<T>;
  /** Whether the server is telling changes right now. */
  connected(): boolean;
}

export interface FollowOptions<T> {
  readonly source: StreamSource;
  readonly path: string;
  /**
   * @param state  what this connection has told so far; undefined at its start
   * @returns the next state; the same one when the line has no news
   */
  fold(state: T | undefined, line: unknown): T | undefined;
  readonly remember: Remember<T>;
  readonly signal: AbortSignal;
  readonly log: Log;
}

const SHORTEST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

/** @returns once the remembered state is known; the server is then contacted in the background. */
export async function follow<T>(options: FollowOptions<T>): Promise<Followed<T>> {
  const latest = new Latest<T>(await options.remember.load(), options.signal);
  const keep = keeper(options.remember, options.log);
  let connected = false;
  const setConnected = (now: boolean, why: unknown): void => {
    if (now === connected) return;
    connected = now;
    if (now) options.log.info({ path: options.path }, 'following the server');
    else if (!options.signal.aborted)
      options.log.warn(
        { path: options.path, err: why },
        'the server is away; going on from the last known state',
      );
  };
  const tell = (state: T): void => {
    latest.set(state);
    keep(state);
  };
  void reconnect(options, tell, setConnected);
  return { current: () => latest.value, changes: () => latest.changes(), connected: () => connected };
}

async function reconnect<T>(
  options: FollowOptions<T>,
  tell: (state: T) => void,
  setConnected: (now: boolean, why: unknown) => void,
): Promise<void> {
  let pauseMs = SHORTEST_PAUSE_MS;
  while (!options.signal.aborted) {
    let why: unknown = 'the server ended the stream';
    try {
      let state: T | undefined;
      for await (const line of options.source.stream(options.path, options.signal)) {
        const next = options.fold(state, line);
        pauseMs = SHORTEST_PAUSE_MS;
        setConnected(true, undefined);
        if (next !== undefined && next !== state) tell(next);
        state = next;
      }
    } catch (error) {
      why = error;
    }
    setConnected(false, why);
    // Up to half less, so that a thousand nodes do not come back in one instant.
    await pause(pauseMs * (1 - Math.random() / 2), options.signal);
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}

/** Saves one state at a time, and of those that pile up meanwhile only the newest. */
function keeper<T>(remember: Remember<T>, log: Log): (state: T) => void {
  let waiting: { readonly state: T } | undefined;
  let busy = false;
  const work = async (): Promise<void> => {
    busy = true;
    while (waiting !== undefined) {
      const { state } = waiting;
      waiting = undefined;
      try {
        await remember.save(state);
      } catch (error) {
        log.error(
          { err: error },
          'the last known state could not be saved; a restart would begin from an older one',
        );
      }
    }
    busy = false;
  };
  return (state) => {
    waiting = { state };
    if (!busy) void work();
  };
}

class Latest<T> {
  #value: T | undefined;
  #version = 0;
  readonly #signal: AbortSignal;
  readonly #sleepers = new Set<() => void>();

  constructor(value: T | undefined, signal: AbortSignal) {
    this.#value = value;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wakeAll(), { once: true });
  }

  get value(): T | undefined {
    return this.#value;
  }

  set(value: T): void {
    this.#value = value;
    this.#version += 1;
    this.#wakeAll();
  }

  async *changes(): AsyncGenerator<T> {
    let seen = -1;
    while (!this.#signal.aborted) {
      if (seen === this.#version || this.#value === undefined) {
        await new Promise<void>((resolve) => this.#sleepers.add(resolve));
        continue;
      }
      seen = this.#version;
      yield this.#value;
    }
  }

  #wakeAll(): void {
    for (const wake of this.#sleepers) wake();
    this.#sleepers.clear();
  }
}
