/**
 * Extended attributes of file systems whose server may hang: asked beside the event loop, and not waited for any longer
 * than said. A question that hangs holds a thread until the server dies, so few are asked at a time.
 */
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { SystemCallError } from './libc.ts';

const libc = koffi.load('libc.so.6');
const calls = {
  get: libc.func(
    'intptr_t lgetxattr(const char *path, const char *name, _Out_ uint8_t *value, uintptr_t size)',
  ),
} as const;

/** linux/limits.h, XATTR_SIZE_MAX */
const LONGEST_VALUE = 65_536;
/** libuv has four threads, which files and names need, too. */
const AT_ONCE = 2;

/** Paths at which a question was given up and is still not answered: another would hang with it. */
const hanging = new Set<string>();
let running = 0;
const waiting: (() => void)[] = [];

/** At once, for programs that may hang. @returns undefined when there is none, or none for us */
export function readXattr(path: string, name: string): string | undefined {
  const value = Buffer.alloc(LONGEST_VALUE);
  const length = Number(calls.get(path, name, value, value.length));
  return length < 0 ? undefined : value.toString('utf8', 0, length);
}

/** @throws SystemCallError; of ETIMEDOUT when it did not answer in time, of EAGAIN when others' questions hung before it */
export async function getXattr(path: string, name: string, timeoutMs: number): Promise<string> {
  const value = Buffer.alloc(LONGEST_VALUE);
  const length = await asked(path, timeoutMs, (answer) =>
    calls.get.async(path, name, value, value.length, answer),
  );
  return value.toString('utf8', 0, length);
}

type Answer = (error: unknown, result: number | bigint) => void;

function asked(path: string, timeoutMs: number, ask: (answer: Answer) => void): Promise<number> {
  const failure = (errno: string): SystemCallError => new SystemCallError(`attribute of ${path}`, errno);
  if (hanging.has(path)) return Promise.reject(failure('ETIMEDOUT'));
  return new Promise((resolve, reject) => {
    let isLate = false;
    let isAsked = false;
    const timer = setTimeout(() => {
      isLate = true;
      if (isAsked) hanging.add(path);
      reject(failure(isAsked ? 'ETIMEDOUT' : 'EAGAIN'));
    }, timeoutMs);
    whenFree(() => {
      // Nobody waits any more: it is not asked at all.
      if (isLate) return free();
      isAsked = true;
      ask((error, result) => {
        const errno = koffi.errno();
        clearTimeout(timer);
        hanging.delete(path);
        free();
        if (error !== null) reject(error as Error);
        else if (Number(result) < 0) reject(failure(getSystemErrorName(-errno)));
        else resolve(Number(result));
      });
    });
  });
}

function whenFree(task: () => void): void {
  if (running < AT_ONCE) {
    running++;
    task();
  } else waiting.push(task);
}

function free(): void {
  const next = waiting.shift();
  if (next === undefined) running--;
  else next();
}
