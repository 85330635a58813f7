/** What went wrong with volumes as they are wanted now, and when it is tried again. */
import type { SluiceError } from '../model/errors.ts';
import type { Volume, VolumeId } from '../model/volume.ts';

export interface Failure {
  readonly error: SluiceError;
  /** Of which brick; undefined: of Gluster. */
  readonly index: number | undefined;
}

interface Kept extends Failure {
  readonly volume: Volume;
  readonly times: number;
  readonly retryAt: number;
}

/** What was wrong may be gone before long; but a thing that stays broken is not to keep a node busy. */
export const SHORTEST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

export class Failures {
  readonly #kept = new Map<VolumeId, Kept>();
  readonly #now: () => number;

  /** @param now  ms of a clock that only goes forward */
  constructor(now: () => number) {
    this.#now = now;
  }

  note(volume: Volume, failure: Failure): void {
    const times = (this.#of(volume)?.times ?? 0) + 1;
    const pauseMs = Math.min(SHORTEST_PAUSE_MS * 2 ** (times - 1), LONGEST_PAUSE_MS);
    this.#kept.set(volume.id, { ...failure, volume, times, retryAt: this.#now() + pauseMs });
  }

  /** Of what is wanted now; what was wanted before is no matter any more. */
  of(volume: Volume): Failure | undefined {
    return this.#of(volume);
  }

  #of({ id, phase, generation }: Volume): Kept | undefined {
    const kept = this.#kept.get(id);
    return kept?.volume.phase === phase && kept.volume.generation === generation ? kept : undefined;
  }

  over(id: VolumeId): void {
    this.#kept.delete(id);
  }

  /** What cannot be made is not tried again: the server takes it back whole. */
  isDue(volume: Volume): boolean {
    const kept = this.#of(volume);
    return kept === undefined || (volume.phase !== 'creating' && this.#now() >= kept.retryAt);
  }

  /** @returns ms until the next of them is due; infinity where none is */
  nextInMs(): number {
    const pauses = [...this.#kept.values()]
      .filter(({ volume }) => volume.phase !== 'creating')
      .map(({ retryAt }) => Math.max(1, retryAt - this.#now()));
    return Math.min(Number.POSITIVE_INFINITY, ...pauses);
  }

  forgetOthers(volumes: ReadonlyMap<VolumeId, Volume>): void {
    for (const id of this.#kept.keys()) if (!volumes.has(id)) this.#kept.delete(id);
  }
}
