/** Looks after clients: who is dead is replaced, who hangs is killed, what stayed dead in a container is tried again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { boundLog } from '../../linux/gluster-client.ts';
import type { Log } from '../../model/log.ts';
import { saysItHangs, saysItIsCut } from './control.ts';
import type { MountRecords } from './records.ts';
import { FIRST_PAUSE_MS, type Watched, type WatchedClients } from './watched.ts';
import type { MountWork } from './work.ts';

/** How often dead clients are looked for that are not our children. */
const LOOK_EVERY_MS = 200;
/** How often clients are asked whether they still answer, logs are bounded, and what could not be ended is tried again. */
const TEND_EVERY_MS = 5_000;
/** One that has not answered so often, one after the other, is replaced. */
const HANGS_AFTER = 2;
/** Between attempts at a client that does not come up, or dies again and again. */
const LONGEST_PAUSE_MS = 5_000;
/** One that has lived so long dies for a new reason. */
const STEADY_MS = 10_000;
/** So many that die younger, one after the other, are replaced at once. */
const PATIENCE = 10;

export interface WatchdogOptions {
  readonly records: MountRecords;
  readonly clients: WatchedClients;
  readonly work: MountWork;
  /** Whether clients can be asked for something that they answer by themselves. */
  readonly canAsk: boolean;
  readonly log: Log;
}

export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #closing = new AbortController();
  #wake: () => void = () => undefined;
  #watching: Promise<void> = Promise.resolve();
  #tendedAt = performance.now();

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  start(): void {
    this.#watching = this.#watch();
  }

  /** Somebody may be dead. */
  wake(): void {
    this.#wake();
  }

  async stop(): Promise<void> {
    this.#closing.abort();
    this.#wake();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const now = performance.now();
      for (const watched of this.#options.clients.values()) {
        if (this.#isDue(watched, now)) this.#replaceSoon(watched);
        else if (now > watched.healAt) this.#healSoon(watched);
      }
      if (now - this.#tendedAt > TEND_EVERY_MS) this.#tend();
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await Promise.race([woken, sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined)]);
    }
  }

  #isDue({ client, nextTryAt }: Watched, now: number): boolean {
    if (client.isAlive() || now < nextTryAt) return false;
    return this.#options.work.wantedOf(client.id).length > 0;
  }

  #replaceSoon(watched: Watched): void {
    const { clients, work, log } = this.#options;
    const { client } = watched;
    // Not again before this attempt is over.
    watched.nextTryAt = Number.POSITIVE_INFINITY;
    const found = performance.now();
    watched.diedYoung = found - watched.startedAt > STEADY_MS ? 0 : watched.diedYoung + 1;
    const replaced = clients.oneByOne(watched, async () => {
      if (client.isAlive() || this.#closing.signal.aborted) return;
      await work.bring(watched);
      const ms = Math.round(performance.now() - found);
      log.warn({ client: client.id, volume: client.volume, ms }, 'a dead Gluster client was replaced');
    });
    void replaced.then(
      () => {
        if (watched.diedYoung < PATIENCE) watched.pauseMs = 0;
        this.#rest(watched);
      },
      (error: unknown) => {
        work.complain('a Gluster client is dead and could not be replaced', client.id, error);
        this.#rest(watched);
      },
    );
  }

  #rest(watched: Watched): void {
    watched.nextTryAt = performance.now() + watched.pauseMs;
    watched.pauseMs = Math.min(Math.max(FIRST_PAUSE_MS, 2 * watched.pauseMs), LONGEST_PAUSE_MS);
    this.#wake();
  }

  #healSoon(watched: Watched): void {
    const { clients, work } = this.#options;
    // Set anew by its end, whatever that is; one whose client hangs is not forgotten.
    watched.healAt = performance.now() + LONGEST_PAUSE_MS;
    void clients
      .oneByOne(watched, () => work.heal(watched))
      .catch((error: unknown) => work.complain('a mount stays dead', watched.client.id, error));
  }

  /** Without waiting for what hangs. */
  #tend(): void {
    const { clients, work, records, canAsk } = this.#options;
    this.#tendedAt = performance.now();
    for (const watched of clients.values()) {
      const { id, place } = watched.client;
      boundLog(place);
      // In its turn: one that is being started has nothing mounted yet.
      if (canAsk) void clients.oneByOne(watched, () => this.#ask(watched));
      const isOver = [...records.mounts.values()].some(
        ({ client, phase }) => client === id && phase === 'ending',
      );
      if (isOver)
        void clients
          .oneByOne(watched, () => work.endUnwanted(id))
          .catch((error: unknown) => work.complain('a mount cannot be ended', id, error));
    }
  }

  /** A client that lives and serves nobody is of no use; it answers this by itself, whatever its bricks do. */
  async #ask(watched: Watched): Promise<void> {
    const { client } = watched;
    if (!client.isAlive()) return;
    try {
      await client.statistics();
      watched.unanswered = 0;
    } catch (error) {
      if (saysItHangs(error)) watched.unanswered++;
      if (!saysItIsCut(error) && watched.unanswered < HANGS_AFTER) return;
      this.#options.work.complain('a Gluster client does not answer: it is replaced', client.id, error);
      client.kill();
    }
  }
}
