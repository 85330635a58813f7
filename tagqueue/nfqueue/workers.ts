/** The workers at the packet queues: one thread each, started again when it dies. While one is away, its packets are dropped. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { RingReader } from '../../linux/ring.ts';
import type { Log } from '../../model/log.ts';
import { DROP_BYTES } from '../drop-record.ts';
import {
  COUNTER,
  countsByTenant,
  LOG_RECORDS,
  type RefusedOfTenant,
  type SharedMemory,
  sharedMemory,
  WORD,
} from './shared.ts';
import type { FenceFacts } from './tables.ts';
import type { WorkerTask } from './worker.ts';

const PROGRAM = new URL('./worker.ts', import.meta.url);
const RESTART_MS = 100;
const POLL_MS = 5;

export interface WorkerCounters {
  /** By a reason's number. */
  readonly refused: readonly number[];
  /** Of those, by tenant; several for one pair. */
  readonly refusedOfTenants: readonly RefusedOfTenant[];
  readonly tagged: number;
  readonly verified: number;
  /** How often a socket's buffer was full. */
  readonly overruns: number;
  readonly restarts: number;
}

export interface Workers {
  /** Every packet that is read from now on is judged by these. */
  post(facts: FenceFacts): void;
  /** Waits until all read their queues. @returns whether they do */
  reading(timeoutMs: number): Promise<boolean>;
  counters(): WorkerCounters;
  /** Refused packets from now on, until it is disposed of. */
  watch(): RingReader;
  /** Ends them all. From then on the kernel drops what is queued. */
  close(): Promise<void>;
}

interface Seat {
  readonly queue: number;
  readonly memory: SharedMemory;
  worker: Worker | undefined;
  ended: Promise<void>;
}

/** @param queues  their numbers */
export function startWorkers(queues: readonly number[], first: FenceFacts, log: Log): Workers {
  let facts = first;
  let closing = false;
  let restarts = 0;
  const seats = queues.map((queue): Seat => {
    const memory = sharedMemory();
    return { queue, memory, worker: undefined, ended: Promise.resolve() };
  });

  async function run(seat: Seat): Promise<void> {
    while (!closing) {
      Atomics.store(seat.memory.words, WORD.posted, 0);
      const { error } = await runOnce(seat, { queue: seat.queue, shared: seat.memory.buffer, facts });
      Atomics.store(seat.memory.words, WORD.reading, 0);
      if (closing) return;
      restarts += 1;
      log.error(
        { queue: seat.queue, reason: error },
        'a worker at a packet queue ended; it is started again',
      );
      await sleep(RESTART_MS);
    }
  }
  for (const seat of seats) seat.ended = run(seat);

  const sum = (index: number): number =>
    seats.reduce((total, { memory }) => total + (memory.counters[index] ?? 0), 0);
  return {
    post(next): void {
      facts = next;
      for (const { worker, memory } of seats) {
        worker?.postMessage(next);
        Atomics.add(memory.words, WORD.posted, 1);
      }
    },
    async reading(timeoutMs): Promise<boolean> {
      const deadline = performance.now() + timeoutMs;
      const all = (): boolean => seats.every(({ memory }) => Atomics.load(memory.words, WORD.reading) === 1);
      while (!all() && performance.now() < deadline) await sleep(POLL_MS);
      return all();
    },
    counters: () => ({
      refused: Array.from({ length: COUNTER.tagged }, (_, reason) => sum(reason)),
      refusedOfTenants: seats.flatMap(({ memory }) => countsByTenant(memory)),
      tagged: sum(COUNTER.tagged),
      verified: sum(COUNTER.verified),
      overruns: sum(COUNTER.overruns),
      restarts,
    }),
    watch: () => watchSeats(seats),
    async close(): Promise<void> {
      closing = true;
      for (const { memory } of seats) Atomics.store(memory.words, WORD.stop, 1);
      await Promise.all(seats.map(({ ended }) => ended));
    },
  };
}

function runOnce(seat: Seat, task: WorkerTask): Promise<{ readonly error: string }> {
  const worker = new Worker(PROGRAM, { workerData: task });
  seat.worker = worker;
  let error = '';
  return new Promise((resolve) => {
    worker.on('error', (thrown: unknown) => {
      error = thrown instanceof Error ? thrown.message : String(thrown);
    });
    worker.on('exit', () => {
      seat.worker = undefined;
      resolve({ error });
    });
  });
}

function watchSeats(seats: readonly Seat[]): RingReader {
  const readers = seats.map(({ memory }) => {
    Atomics.add(memory.words, WORD.watched, 1);
    return { memory, next: Atomics.load(memory.words, WORD.written) >>> 0 };
  });
  return {
    consume: () => readers.flatMap(readLog),
    [Symbol.dispose]: () => {
      for (const { memory } of seats) Atomics.sub(memory.words, WORD.watched, 1);
    },
  };
}

/** What was overwritten before it was read is gone; the record being written now is left for the next time. */
function readLog(reader: { readonly memory: SharedMemory; next: number }): Buffer[] {
  const { words, log } = reader.memory;
  const written = Atomics.load(words, WORD.written) >>> 0;
  const fresh = Math.min((written - reader.next) >>> 0, LOG_RECORDS - 1);
  const records = Array.from({ length: fresh }, (_, index) => {
    const at = ((written - fresh + index) >>> 0) % LOG_RECORDS;
    return Buffer.from(new Uint8Array(log.buffer, log.byteOffset + at * DROP_BYTES, DROP_BYTES).slice());
  });
  reader.next = written;
  return records;
}
