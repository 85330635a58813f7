/** Newline-delimited JSON over a connection that either end may drop: one item, one line. */
import type { Writable } from 'node:stream';

/** Waits for a slow reader before it asks for the next item; leaves at once when the signal fires. */
export async function writeLines(
  output: Writable,
  items: AsyncIterable<unknown>,
  signal: AbortSignal,
): Promise<void> {
  const iterator = items[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await orAborted(iterator.next(), signal);
      if (next === undefined || next.done === true) return;
      if (!output.write(`${JSON.stringify(next.value)}\n`)) await orAborted(drained(output), signal);
    }
  } finally {
    // Not awaited: a generator that sleeps returns only when it wakes, and it was given the signal too.
    iterator.return?.(undefined).catch(() => {});
  }
}

/**
 * The lines of a text that arrives in chunks, without their ends; what follows the last end is no line.
 * @param longest  characters; a longer line throws RangeError, so that a bad peer cannot fill the memory
 */
export async function* readLines(chunks: AsyncIterable<Buffer>, longest: number): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop() ?? '';
    yield* parts;
    if (rest.length > longest) throw new RangeError(`a line has more than ${longest} characters`);
  }
}

function drained(output: Writable): Promise<void> {
  return new Promise((resolve) => void output.once('drain', resolve));
}

/** Not Promise.race with one promise for the signal: that would keep a reaction for every item ever sent. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const abort = (): void => resolve(undefined);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
