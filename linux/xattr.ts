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
      reject(failure(hanging.has(path) ? 'ETIMEDOUT' : 'EAGAIN'));
    }, timeoutMs);
    whenFree(path, (done) => {
      // Nobody waits any more: it is not asked at all.
      if (isLate) return done();
      isAsked = true;
      ask((error, result) => {
        const errno = koffi.errno();
        clearTimeout(timer);
        hanging.delete(path);
        done();
        if (error !== null) reject(error as Error);
        else if (Number(result) < 0) reject(failure(getSystemErrorName(-errno)));
        else resolve(Number(result));
      });
    });
  });
}

interface Question {
  readonly path: string;
  readonly task: (done: () => void) => void;
}

const waiting: Question[] = [];
/** One question at a time to each path: a server that hangs holds one thread, and not all of them. */
const busy = new Set<string>();

function whenFree(path: string, task: Question['task']): void {
  waiting.push({ path, task });
  next();
}

function next(): void {
  if (busy.size >= AT_ONCE) return;
  const at = waiting.findIndex(({ path }) => !busy.has(path));
  const [question] = at < 0 ? [] : waiting.splice(at, 1);
  if (question === undefined) return;
  busy.add(question.path);
  question.task(() => {
    busy.delete(question.path);
    next();
  });
  next();
}
