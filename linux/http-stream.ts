/** Answers an HTTP request with newline-delimited JSON, for as long as both ends like. */
import type { ServerResponse } from 'node:http';
import { asSluiceError, type Problem, problemOf, SluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import { writeLines } from './ndjson.ts';

export interface StreamHead {
  /** HTTP status; default 200. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The head is on its way by the time a stream fails, so its last line then carries the problem: {"problem": {…}}. */
export async function sendStream(
  response: ServerResponse,
  head: StreamHead,
  items: AsyncIterable<unknown>,
  signal: AbortSignal,
  log: Log,
): Promise<void> {
  // A stream's connection is not used again: an idle one would hold up the daemon's end.
  response.writeHead(head.status ?? 200, {
    'content-type': 'application/x-ndjson',
    connection: 'close',
    ...head.headers,
  });
  response.flushHeaders();
  try {
    await writeLines(response, items, signal);
  } catch (error) {
    if (!signal.aborted) response.write(`${JSON.stringify({ problem: toProblem(error, log) })}\n`);
  }
  response.end();
}

/** A stranger among the errors is a defect: the client hears `internal`, the log gets the stack. */
export function toProblem(thrown: unknown, log: Log): Problem {
  if (!(thrown instanceof SluiceError))
    log.error({ err: thrown }, 'a request failed in a way nobody foresaw');
  return problemOf(asSluiceError(thrown));
}
