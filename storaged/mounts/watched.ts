/** The clients of this node, each with what is done to it one after the other. */
import type { MountId, VolumeId } from '../../model/volume.ts';
import { type ClientSetup, VolumeClient } from './client.ts';

/** Between attempts at a client that does not come up, or dies again and again, or has a mount that stays dead. */
export const FIRST_PAUSE_MS = 100;

/** A client with what concerns only this process. */
export interface Watched {
  readonly client: VolumeClient;
  /** Whatever changes it happens one after the other. */
  tail: Promise<unknown>;
  pauseMs: number;
  /** Clients that died young, one after the other. */
  diedYoung: number;
  startedAt: number;
  /** performance.now */
  nextTryAt: number;
  unanswered: number;
  /** Mounts that stayed dead when it took over from a predecessor. */
  dead: ReadonlySet<MountId>;
  /** When these are tried again: performance.now; infinite: all is well. */
  healAt: number;
  healPauseMs: number;
}

export class WatchedClients {
  readonly #all = new Map<string, Watched>();
  readonly #setup: ClientSetup;
  readonly #isKept: (id: string) => boolean;

  /** @param isKept  whether a client is on record */
  constructor(setup: ClientSetup, isKept: (id: string) => boolean) {
    this.#setup = setup;
    this.#isKept = isKept;
  }

  values(): Iterable<Watched> {
    return this.#all.values();
  }

  find(id: string): Watched | undefined {
    return this.#all.get(id);
  }

  /** Made where it is new. */
  of(id: string, volume: VolumeId): Watched {
    const present = this.#all.get(id);
    if (present !== undefined) return present;
    const fresh: Watched = {
      client: new VolumeClient(id, volume, this.#setup),
      tail: Promise.resolve(),
      ...{ pauseMs: FIRST_PAUSE_MS, diedYoung: 0, startedAt: 0, nextTryAt: 0, unanswered: 0 },
      ...{ dead: new Set(), healAt: Number.POSITIVE_INFINITY, healPauseMs: FIRST_PAUSE_MS },
    };
    this.#all.set(id, fresh);
    return fresh;
  }

  oneByOne<T>(watched: Watched, task: () => Promise<T>): Promise<T> {
    const run = watched.tail.then(task);
    const tail: Promise<void> = run.then(
      () => this.#forgetIfIdle(watched, tail),
      () => this.#forgetIfIdle(watched, tail),
    );
    watched.tail = tail;
    return run;
  }

  /** One that has nothing mounted and that nobody waits for. */
  #forgetIfIdle({ client, tail }: Watched, own: Promise<unknown>): void {
    if (tail === own && !this.#isKept(client.id)) this.#all.delete(client.id);
  }

  /** Until nothing is being done to any of them. */
  async quiet(): Promise<void> {
    await Promise.allSettled([...this.#all.values()].map(({ tail }) => tail));
  }
}
