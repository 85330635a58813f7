/** Whether somebody keeps this machine's clock right. */
import koffi from 'koffi';

/** struct timex with room to spare (sys/timex.h); modes 0 only reads. */
const TIMEX_BYTES = 256;
/** The clock is not synchronized (sys/timex.h). */
const TIME_ERROR = 5;

const adjtimex = koffi.load('libc.so.6').func('int adjtimex(_Inout_ uint8_t *timex)');

/** @returns undefined where the kernel does not tell. */
export function clockIsSynchronized(): boolean | undefined {
  const state: number = adjtimex(Buffer.alloc(TIMEX_BYTES));
  return state < 0 ? undefined : state !== TIME_ERROR;
}
