/** The operations over HTTP: who is asking comes first, then whether they may, then what they ask. */
import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
} from 'fastify';
import { sendStream, toProblem } from '../../linux/http-stream.ts';
import { SluiceError } from '../../model/errors.ts';
import type { Log } from '../../model/log.ts';
import { authorize } from './authorization.ts';
import type { Metrics } from './metrics.ts';
import { refuseFenced } from './node-fence.ts';
import type { Cluster, Operation, Reply } from './operation.ts';
import type { Principal } from './principal.ts';

export interface Door {
  /** Undefined: plain HTTP, for the private socket. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** @throws SluiceError `unauthenticated` */
  identify(authorization: string | undefined): Promise<Principal>;
}

declare module 'fastify' {
  interface FastifyRequest {
    who: Principal;
  }
  interface FastifyContextConfig {
    readonly operation?: string;
  }
}

const BODY_LIMIT_BYTES = 2 ** 20;
const SLOW_CLIENT_MS = 10_000;

/** Node's own defaults let a silent stranger stay for two minutes. */
const TLS_LIMITS = {
  minVersion: 'TLSv1.3',
  handshakeTimeout: SLOW_CLIENT_MS,
  connectionsCheckingInterval: 1_000,
} as const;

/** @returns an application that listens nowhere yet */
export function httpApp(
  door: Door,
  cluster: Cluster,
  operations: readonly Operation[],
  metrics: Metrics,
  log: Log,
): FastifyInstance {
  const app = fastify({
    ...(door.tls && { https: { ...door.tls, ...TLS_LIMITS } }),
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: SLOW_CLIENT_MS,
    routerOptions: { maxParamLength: 512 },
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
  }) as unknown as FastifyInstance;
  const streams = new Set<AbortController>();
  app.decorateRequest('who');
  // Before routing and before the body is read: strangers learn nothing and send nothing.
  app.addHook('onRequest', async (request) => {
    endUnlessComplete(request.raw);
    request.who = await door.identify(request.headers.authorization);
  });
  app.setNotFoundHandler((request) => {
    throw new SluiceError(
      'not_found',
      `there is no ${request.method} ${request.url}`,
      '/v1/openapi.json lists all',
    );
  });
  app.setErrorHandler((error, _request, reply) => refuse(reply, error, log));
  app.addHook('onResponse', (request, reply, done) => {
    metrics.count(request.routeOptions.config.operation ?? 'none', reply.statusCode);
    done();
  });
  app.addHook('preClose', (done) => {
    for (const stream of streams) stream.abort();
    done();
  });
  for (const one of operations) {
    app.route({
      method: one.method,
      url: one.path,
      config: { operation: one.id },
      ...(one.bodyBytes !== undefined && { bodyLimit: one.bodyBytes }),
      // Before the body is read, too: what nodes may send at length is not read from others.
      onRequest: async (request): Promise<void> => authorize(request.who, one.id),
      handler: (request, reply) => answer(cluster, one, request, reply, { streams, metrics, log }),
    });
  }
  return app;
}

/** A body that stops half-way ends here: under TLS, behind a hook, requestTimeout was seen to let it stay. */
function endUnlessComplete(raw: FastifyRequest['raw']): void {
  const timer = setTimeout(() => {
    if (!raw.complete) raw.destroy();
  }, SLOW_CLIENT_MS);
  raw.once('close', () => clearTimeout(timer));
}

interface Around {
  /** Those under way, to be ended when the server stops. */
  readonly streams: Set<AbortController>;
  readonly metrics: Metrics;
  readonly log: Log;
}

async function answer(
  cluster: Cluster,
  operation: Operation,
  request: FastifyRequest,
  reply: FastifyReply,
  around: Around,
): Promise<FastifyReply> {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  const { who, params, query, body } = request;
  if (who.role === 'node' && operation.method !== 'GET') await refuseFenced(cluster.store, who.node);
  const result = await operation.run(cluster, { who, params, query, body, signal: gone.signal });
  if (!('stream' in result)) return send(reply, operation.status, result);
  reply.hijack();
  around.streams.add(gone);
  around.metrics.countStream(1);
  await sendStream(reply.raw, {}, result.stream, gone.signal, around.log);
  around.metrics.countStream(-1);
  around.streams.delete(gone);
  return reply;
}

function send(
  reply: FastifyReply,
  status: number,
  result: Exclude<Reply, { stream: unknown }>,
): FastifyReply {
  if ('text' in result) return reply.code(status).type(result.contentType).send(result.text);
  if (result.json === undefined) return reply.code(204).send();
  return reply.code(status).type('application/json').send(JSON.stringify(result.json));
}

function refuse(reply: FastifyReply, error: unknown, log: Log): FastifyReply {
  const most = reply.request.routeOptions.bodyLimit ?? BODY_LIMIT_BYTES;
  const problem = toProblem(ofFastify(error, most), log);
  // A stranger does not keep the connection, nor the time to send a body that nobody will read.
  if (problem.status === 401) reply.headers({ 'www-authenticate': 'Bearer', connection: 'close' });
  return reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem));
}

/** What fastify itself refuses, in our words; everything else as it is. */
function ofFastify(error: unknown, mostBytes: number): unknown {
  const { code = '', statusCode = 500, message } = error as Partial<FastifyError>;
  if (error instanceof SluiceError || !code.startsWith('FST_') || statusCode >= 500) return error;
  if (statusCode === 413) {
    return new SluiceError('too_large', `the request body has more than ${mostBytes} bytes`, 'send less');
  }
  if (code.includes('JSON')) {
    return new SluiceError(
      'invalid_json',
      `the request body is no JSON: ${message}`,
      'send one JSON document',
    );
  }
  return new SluiceError('invalid_request', `${message}`, '/v1/openapi.json describes what is expected');
}
