/** What a daemon offers on its socket: routes, and finding the one that a request names. */
import type { IncomingHttpHeaders } from 'node:http';
import { SluiceError } from '../model/errors.ts';

export interface ApiRequest {
  /** Decoded path parameters, one for each ':name' of the route. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body as JSON. @throws SluiceError `invalid_json` */
  json(): unknown;
  /** Aborted when the client goes away and when the daemon stops. */
  readonly signal: AbortSignal;
}

interface ReplyHead {
  /** HTTP status; default 200. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export type ApiReply =
  | (ReplyHead & { readonly json: unknown })
  | (ReplyHead & { readonly text: string; readonly contentType: string })
  /** Each item becomes a line of newline-delimited JSON as soon as it comes. */
  | (ReplyHead & { readonly stream: AsyncIterable<unknown> });

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Such as '/v1/tenants/:tenant'; a parameter is one whole segment. */
  readonly path: string;
  handle(request: ApiRequest): ApiReply | Promise<ApiReply>;
}

export interface Match {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

/** @returns a function that finds the route or throws SluiceError `not_found` or `invalid_request`. */
export function routeFinder(routes: readonly Route[]): (method: string, path: string) => Match {
  const known = routes.map((route) => ({ route, pattern: route.path.split('/') }));
  const offered = [...new Set(routes.map(({ path }) => path))].join(', ');
  return (method, path) => {
    const segments = path.split('/').map(decode);
    const here = known.filter(({ pattern }) => fits(pattern, segments));
    const found = here.find(({ route }) => route.method === method);
    if (found !== undefined) return { route: found.route, params: paramsOf(found.pattern, segments) };
    const methods = here.map(({ route }) => route.method).join(', ');
    throw methods === ''
      ? new SluiceError('not_found', `there is nothing at ${path}`, `there is: ${offered}`)
      : new SluiceError('not_found', `${path} does not take ${method}`, `it takes ${methods}`);
  };
}

function fits(pattern: readonly string[], segments: readonly string[]): boolean {
  return (
    pattern.length === segments.length &&
    pattern.every((part, i) => (part.startsWith(':') ? segments[i] !== '' : part === segments[i]))
  );
}

function paramsOf(pattern: readonly string[], segments: readonly string[]): Record<string, string> {
  const named = pattern.flatMap((part, i) =>
    part.startsWith(':') ? [[part.slice(1), segments[i] ?? '']] : [],
  );
  return Object.fromEntries(named) as Record<string, string>;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw badlyEncoded(segment, cause);
  }
}

function badlyEncoded(segment: string, cause: unknown): SluiceError {
  const message = `badly encoded path segment ${segment}`;
  return new SluiceError('invalid_request', message, 'percent-encode it as UTF-8', { cause });
}
