/** Memory that the plane and one of its workers share: orders to the worker, its counters, and the packets it refused. */
import { DROP_BYTES } from '../drop-record.ts';

/** Counters: 64 reasons, then these. */
export const REASON_SLOTS = 64;
export const COUNTER = { tagged: 64, verified: 65, overruns: 66, refusedVerdicts: 67, packets: 68 } as const;
const COUNTERS = 72;

/** Orders and signs of life, each a 32-bit word. */
export const WORD = {
  /** 1: end. */
  stop: 0,
  /** Counts the facts that were posted; before the next packet the worker takes up the newest. */
  posted: 1,
  /** The newest that it has taken up. */
  taken: 2,
  /** 1 while it reads its queue. */
  reading: 3,
  /** 1 while somebody watches refused packets. */
  watched: 4,
  /** How many refused packets were written down so far. */
  written: 5,
} as const;
const WORDS = 16;

export const LOG_RECORDS = 512;

export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  /** Doubles count exactly up to 2^53; each worker writes its own. */
  readonly counters: Float64Array;
  /** Records of drop-record.ts, one after the other and round again. */
  readonly log: DataView;
}

/** @param buffer  of another thread; a new one by default */
export function sharedMemory(buffer?: SharedArrayBuffer): SharedMemory {
  const wordBytes = WORDS * 4;
  const counterBytes = COUNTERS * 8;
  const memory = buffer ?? new SharedArrayBuffer(wordBytes + counterBytes + LOG_RECORDS * DROP_BYTES);
  return {
    buffer: memory,
    words: new Int32Array(memory, 0, WORDS),
    counters: new Float64Array(memory, wordBytes, COUNTERS),
    log: new DataView(memory, wordBytes + counterBytes),
  };
}

export function count(counters: Float64Array, index: number): void {
  counters[index] = (counters[index] ?? 0) + 1;
}
