/** Whom a command talks to: the cluster's server, or a daemon of this machine. */
import path from 'node:path';
import { type ApiClient, localClient, type Method } from '../../linux/api-client.ts';
import { readCredential } from '../../linux/credential.ts';
import { isThere } from '../../linux/directories.ts';
import { SluiceError } from '../../model/errors.ts';
import { type Daemon, placesOf, socketOf } from '../places.ts';
import { nodePlaces } from '../supervisor/up-file.ts';

export interface ServerFlags {
  readonly server?: string | undefined;
}

/**
 * The server that --server (or SLUICE_SERVER, with the token in SLUICE_TOKEN) names; else the one of this machine;
 * else the one that this machine has joined, with the rights of a node.
 */
export async function withServer<T>(
  { server }: ServerFlags,
  work: (client: ApiClient) => Promise<T>,
): Promise<T> {
  const client = await openServer(server ?? process.env['SLUICE_SERVER']);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

async function openServer(address: string | undefined): Promise<ApiClient> {
  const places = placesOf(process.env);
  const socket = socketOf(places, 'server');
  if (address === undefined && isThere(socket)) return localClient(socket);
  // TLS is loaded only where it is spoken.
  const { nodeClient, operatorClient } = await import('../../linux/join.ts');
  if (address !== undefined) return operatorClient(checkAddress(address), tokenFor(address));
  const credential = readCredential(nodePlaces(process.env, places).stateDir);
  return credential === undefined ? localClient(socket) : nodeClient(credential);
}

function checkAddress(address: string): string {
  if (/^[^\s:/]+:\d{1,5}$/.test(address)) return address;
  throw new SluiceError(
    'invalid_request',
    `${JSON.stringify(address)} is no server`,
    'give host:port, such as 192.0.2.1:7070',
  );
}

function tokenFor(address: string): string {
  const token = process.env['SLUICE_TOKEN'];
  if (token) return token;
  throw new SluiceError(
    'unauthenticated',
    `speaking to the server at ${address} takes a token`,
    'put what `sluice token create --role operator` printed there into SLUICE_TOKEN',
  );
}

/** A daemon of the node of this run directory. */
export async function withDaemon<T>(daemon: Daemon, work: (client: ApiClient) => Promise<T>): Promise<T> {
  const client = localClient(socketOf(placesOf(process.env), daemon));
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

/** This node's storaged. What it is asked for may take longer than other answers: a client that starts, a volume read. */
export async function withStoraged<T>(work: (client: ApiClient) => Promise<T>): Promise<T> {
  const socket = path.join(placesOf(process.env).runDir, 'storaged.sock');
  const client = localClient(socket, { timeoutMs: STORAGED_MS });
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

const STORAGED_MS = 120_000;

/** All items of a paged list. @param path  may have a query of its own */
export async function listAll<T>(client: ApiClient, path: string, after?: string): Promise<T[]> {
  const items: T[] = [];
  let next = after ?? null;
  do {
    const query = new URLSearchParams({ limit: '1000', ...(next !== null && { after: next }) });
    const page = (await client.request('GET', `${path}${path.includes('?') ? '&' : '?'}${query}`)) as {
      items: T[];
      next: string | null;
    };
    items.push(...page.items);
    next = page.next;
  } while (next !== null);
  return items;
}

/** A path whose last part may be anything a person typed. */
export function pathTo(collection: string, ...names: readonly string[]): string {
  // encodeURIComponent leaves dots alone, and '..' would be another path.
  const parts = names.map((name) => encodeURIComponent(name).replaceAll('.', '%2E'));
  return [collection, ...parts].join('/');
}

export interface Change {
  readonly method: Method;
  readonly path: string;
  readonly body?: unknown;
}
