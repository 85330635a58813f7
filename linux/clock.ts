/** The machine's clocks, and whether somebody keeps them right. */
import { readFileSync } from 'node:fs';
import koffi from 'koffi';

/** struct timex with room to spare (sys/timex.h); modes 0 only reads. */
const TIMEX_BYTES = 256;
/** The clock is not synchronized (sys/timex.h). */
const TIME_ERROR = 5;

const libc = koffi.load('libc.so.6');
const adjtimex = libc.func('int adjtimex(_Inout_ uint8_t *timex)');
const clockGettime = libc.func('int clock_gettime(int clock, _Out_ uint8_t *timespec)');

/** Counts while the machine sleeps, and nobody can set it (linux/time.h). */
const CLOCK_BOOTTIME = 7;
/** struct timespec: two 64-bit numbers. */
const TIMESPEC_BYTES = 16;

/** One instant, as both clocks see it. */
export interface Moment {
  /** Unix ms. It may jump, either way. */
  readonly wall: number;
  /** Milliseconds since this boot; it only goes on. */
  readonly boot: number;
  /** Which boot: a later one counts from 0 again. */
  readonly bootId: string;
}

/** Reads all clocks at once. */
export type Clock = () => Moment;

export function openClock(): Clock {
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return () => ({ wall: Date.now(), boot: bootTime(), bootId });
}

function bootTime(): number {
  const time = Buffer.alloc(TIMESPEC_BYTES);
  clockGettime(CLOCK_BOOTTIME, time);
  return Number(time.readBigInt64LE(0)) * 1_000 + Number(time.readBigInt64LE(8)) / 1_000_000;
}

/**
 * For tests of whole daemons: their clocks are off by what a file says, which is read at every use, so that a test can
 * let them jump. The file is `{"wall": ms, "boot": ms, "bootId": TEXT}`, each key optional; without it the clocks are right.
 */
export function openShiftedClock(file: string): Clock {
  const right = openClock();
  return () => {
    const moment = right();
    const shift = readShift(file);
    return {
      wall: moment.wall + (shift.wall ?? 0),
      boot: moment.boot + (shift.boot ?? 0),
      bootId: shift.bootId ?? moment.bootId,
    };
  };
}

function readShift(file: string): Partial<Moment> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Partial<Moment>;
  } catch {
    return {};
  }
}

/** @returns undefined where the kernel does not tell. */
export function clockIsSynchronized(): boolean | undefined {
  const state: number = adjtimex(Buffer.alloc(TIMEX_BYTES));
  return state < 0 ? undefined : state !== TIME_ERROR;
}
