/** Speaks HTTP/JSON to our daemons: on a unix socket here, and to the server over TLS (linux/api-tls.ts). */
import {
  Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import path from 'node:path';
import { errorOfProblem, SluiceError } from '../model/errors.ts';
import { readLines } from './ndjson.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface ApiClient {
  /**
   * @param body  sent as JSON; undefined: no body
   * @returns the JSON of the answer, undefined for an empty one
   * @throws SluiceError the one the daemon answered with, or `unreachable`
   */
  request(method: Method, path: string, body?: unknown): Promise<unknown>;
  /**
   * The items of a newline-delimited JSON answer, as they come; ends with the answer or the signal.
   *
   * @param body  makes it a POST
   * @throws SluiceError the one the daemon answered with, or `unreachable` when the connection breaks or stays
   *   silent too long
   */
  stream(path: string, signal: AbortSignal, body?: unknown): AsyncIterable<unknown>;
  close(): void;
}

export interface ClientLimits {
  /** How long one answer may take; default 30 s. */
  readonly timeoutMs?: number;
  /** How long a stream may be silent; default: for ever on a unix socket, whose end is always noticed. */
  readonly silenceMs?: number;
}

/** One of our daemons on this machine, by its socket: '/run/sluice/netd.sock' is netd. */
export function localClient(socketPath: string, limits: ClientLimits = {}): ApiClient {
  const daemon = path.basename(socketPath, '.sock');
  // A connection each: it costs 50 µs, while a kept one may turn out dead just when a POST was written to it.
  const agent = new Agent({ keepAlive: false });
  return clientOver({
    open: (options) => httpRequest({ ...options, agent, socketPath }),
    close: () => agent.destroy(),
    unreachable: (cause) =>
      new SluiceError(
        'unreachable',
        `${daemon} does not answer on ${socketPath}: ${reason(cause)}`,
        `start it: systemctl start sluice-${daemon}, or sluice up; or set SLUICE_RUN_DIR`,
        { cause },
      ),
    limits,
  });
}

/** A way to reach one daemon, and the words for when it cannot be reached. */
export interface Carrier {
  open(options: RequestOptions): ClientRequest;
  close(): void;
  unreachable(cause: unknown): SluiceError;
  readonly limits: ClientLimits;
}

/** Longer lines come from no daemon of ours; the largest is a snapshot of the cluster. */
const LONGEST_LINE = 64 * 2 ** 20;
const TIMEOUT_MS = 30_000;

export function clientOver(carrier: Carrier): ApiClient {
  return {
    request: async (method, path, body) => {
      const signal = AbortSignal.timeout(carrier.limits.timeoutMs ?? TIMEOUT_MS);
      const answer = await exchange(carrier, method, path, body, signal);
      const text = await readText(carrier, answer);
      return text === '' ? undefined : parseLine(carrier, text);
    },
    stream: (path, signal, body) => streamOf(carrier, path, signal, body),
    close: () => carrier.close(),
  };
}

/** @returns an answer of status 2xx, its body unread. */
async function exchange(
  carrier: Carrier,
  method: Method,
  path: string,
  body: unknown,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers =
      text === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    const request = carrier.open({ method, path, headers, signal });
    request.once('response', resolve);
    request.on('error', (error) => reject(error instanceof SluiceError ? error : carrier.unreachable(error)));
    request.end(text);
  });
  if ((answer.statusCode ?? 500) < 300) return answer;
  throw problemIn(await readText(carrier, answer), answer.statusCode ?? 500, path);
}

async function* streamOf(
  carrier: Carrier,
  path: string,
  signal: AbortSignal,
  body: unknown,
): AsyncGenerator<unknown> {
  const silence = new AbortController();
  const watchdog =
    carrier.limits.silenceMs === undefined
      ? undefined
      : setTimeout(() => silence.abort(silent()), carrier.limits.silenceMs);
  const either = AbortSignal.any([signal, silence.signal]);
  try {
    const answer = await exchange(carrier, body === undefined ? 'GET' : 'POST', path, body, either);
    for await (const line of readLines(answer, LONGEST_LINE)) {
      watchdog?.refresh();
      const item = parseLine(carrier, line);
      if (isProblem(item)) throw errorOfProblem(item.problem, `${path} failed`);
      yield item;
    }
  } catch (error) {
    if (signal.aborted) return;
    throw error instanceof SluiceError
      ? error
      : carrier.unreachable(silence.signal.aborted ? silent() : error);
  } finally {
    clearTimeout(watchdog);
  }
}

async function readText(carrier: Carrier, answer: IncomingMessage): Promise<string> {
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
    return Buffer.concat(chunks).toString('utf8');
  } catch (error) {
    throw carrier.unreachable(error);
  }
}

function parseLine(carrier: Carrier, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw carrier.unreachable(error);
  }
}

function problemIn(text: string, status: number, path: string): SluiceError {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined; // not one of our problem documents: the status alone must do
  }
  return errorOfProblem(body, `${path} answered with status ${status}`);
}

function isProblem(item: unknown): item is { problem: unknown } {
  return typeof item === 'object' && item !== null && Object.keys(item).join() === 'problem';
}

function silent(): Error {
  return new Error('the connection went silent');
}

function reason(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'there is no such socket';
  if (code === 'ECONNREFUSED') return 'nobody listens on it any more';
  if (code === 'EACCES') return 'it belongs to another user';
  return message;
}
