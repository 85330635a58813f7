/** The HTTP/JSON server of the daemons' unix sockets (docs/decisions/0011-small-server-for-local-sockets.md). */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type Problem, SluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import { sendStream, toProblem } from './http-stream.ts';
import { type ApiReply, type ApiRequest, type Match, type Route, routeFinder } from './local-routes.ts';
import { listenPrivately } from './private-socket.ts';

const BODY_LIMIT_BYTES = 2 ** 20;
/** The CNI relay sends seven variables of at most 4096 bytes as headers, each byte up to three characters. */
const HEADER_LIMIT_BYTES = 96 * 2 ** 10;
/** A client that sends slower than this holds a connection for nothing: local ones need microseconds. */
const HEADERS_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;
/** How long requests under way may go on once the daemon stops. */
const CLOSE_GRACE_MS = 5_000;

export interface LocalApi {
  /** Takes no more requests, ends streams, lets requests under way finish, removes the socket. */
  close(): Promise<void>;
}

/**
 * Serves the routes on a private unix socket (linux/private-socket.ts). What a handler throws becomes a problem
 * document (RFC 9457); what is not a SluiceError is also logged with its stack.
 */
export async function serveLocal(socketPath: string, routes: readonly Route[], log: Log): Promise<LocalApi> {
  const daemon: Daemon = { find: routeFinder(routes), underWay: new Set(), stopping: false, log };
  const server = createServer(
    {
      maxHeaderSize: HEADER_LIMIT_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: 1_000,
      keepAliveTimeout: KEEP_ALIVE_MS,
    },
    (incoming, response) => void answer(daemon, incoming, response),
  );
  await listenPrivately(server, socketPath);
  return {
    close: () => {
      daemon.stopping = true;
      for (const request of daemon.underWay) request.abort();
      return closeServer(server);
    },
  };
}

/** Ends a server within a bounded time, requests under way included. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
  server.closeIdleConnections();
  const impatience = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
  await closed;
  clearTimeout(impatience);
}

interface Daemon {
  readonly find: (method: string, path: string) => Match;
  /** Fired when the client of a request goes, or when the daemon stops. */
  readonly underWay: Set<AbortController>;
  stopping: boolean;
  readonly log: Log;
}

async function answer(daemon: Daemon, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  daemon.underWay.add(gone);
  response.once('close', () => {
    daemon.underWay.delete(gone);
    gone.abort();
  });
  try {
    const reply = await handle(daemon, incoming, gone.signal);
    if (daemon.stopping) response.setHeader('connection', 'close');
    if ('stream' in reply) await sendStream(response, reply, reply.stream, gone.signal, daemon.log);
    else send(response, reply);
  } catch (error) {
    // Nobody is left to be told, and a request cut short is no defect.
    if (!response.destroyed) sendProblem(response, toProblem(error, daemon.log));
  }
}

async function handle(daemon: Daemon, incoming: IncomingMessage, signal: AbortSignal): Promise<ApiReply> {
  const [path = '', query = ''] = (incoming.url ?? '').split('?', 2);
  const body = await readBody(incoming);
  const { route, params } = daemon.find(incoming.method ?? '', path);
  const request: ApiRequest = {
    params,
    query: new URLSearchParams(query),
    headers: incoming.headers,
    body,
    json: () => parseJson(body),
    signal,
  };
  return route.handle(request);
}

/**
 * What is too much is read and forgotten: closing at once would reset the connection before the answer is read.
 * By events, because a stream's async iterator costs a third of a whole request.
 */
function readBody(incoming: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    incoming.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= BODY_LIMIT_BYTES) chunks.push(chunk);
      else chunks.length = 0;
    });
    incoming.once('end', () =>
      bytes <= BODY_LIMIT_BYTES ? resolve(Buffer.concat(chunks)) : reject(tooLarge()),
    );
    incoming.once('error', reject);
  });
}

function tooLarge(): SluiceError {
  return new SluiceError(
    'too_large',
    `the request body has more than ${BODY_LIMIT_BYTES} bytes`,
    'send less',
  );
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    throw notJson(cause);
  }
}

function notJson(cause: unknown): SluiceError {
  const message = `the request body is no JSON: ${String(cause)}`;
  return new SluiceError('invalid_json', message, 'send one JSON document', { cause });
}

function send(response: ServerResponse, reply: Exclude<ApiReply, { stream: unknown }>): void {
  const [contentType, text] =
    'json' in reply ? ['application/json', JSON.stringify(reply.json)] : [reply.contentType, reply.text];
  response.writeHead(reply.status ?? 200, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(text),
    ...reply.headers,
  });
  response.end(text);
}

function sendProblem(response: ServerResponse, problem: Problem): void {
  const text = JSON.stringify(problem);
  response.writeHead(problem.status, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}
