/** A server of its own for each test, with its private socket, its TLS door on loopback, and a clock to turn. */
import fs from 'node:fs';
import { get } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { type ApiClient, localClient } from '../linux/api-client.ts';
import { joinCluster, operatorClient } from '../linux/join.ts';
import type { Ipv4 } from '../model/addresses.ts';
import type { ClusterSettings } from '../model/cluster.ts';
import type { NodeCredential } from '../model/join.ts';
import { silentLog } from '../model/log.ts';
import type { NodeName } from '../model/names.ts';
import { type RunningServer, runServer, type ServerOptions } from '../orchestrator/server/main.ts';

export const settings = {
  internalPool: '10.64.0.0/12',
  externalPool: '10.80.0.0/12',
  blockPrefix: 22,
} as ClusterSettings;

export const uplink = (last: number): Ipv4 => `192.0.2.${last}` as Ipv4;

export const never = new AbortController().signal;

export interface CreatedToken {
  readonly id: string;
  readonly role: string;
  readonly token: string;
  readonly expiresAt: number;
}

export class ServerWorld {
  directory = '';
  /** What the server takes for the time, Unix ms. */
  now = 0;
  #server: RunningServer | undefined;
  #root: ApiClient | undefined;
  readonly #clients: ApiClient[] = [];

  get server(): RunningServer {
    return this.#server!;
  }

  /** Through the private socket. */
  get root(): ApiClient {
    return this.#root!;
  }

  options(more: Partial<ServerOptions> = {}): ServerOptions {
    return {
      runDir: path.join(this.directory, 'run'),
      stateDir: path.join(this.directory, 'state'),
      listen: '127.0.0.1:0',
      settings,
      version: '0.0.1',
      log: silentLog,
      now: () => this.now,
      ...more,
    };
  }

  async start(): Promise<void> {
    this.now = Date.now();
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-server-'));
    await this.restart();
    this.#root = this.using(localClient(path.join(this.directory, 'run', 'server.sock')));
  }

  /** On the state that is there; on the same port when one had been opened. */
  async restart(more: Partial<ServerOptions> = {}): Promise<void> {
    const listen = this.#server?.address ?? '127.0.0.1:0';
    await this.#server?.close();
    this.#server = await runServer(this.options({ listen, ...more }));
  }

  async stop(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.close();
    await this.#server?.close();
    this.#server = undefined;
    fs.rmSync(this.directory, { recursive: true });
  }

  /** In the Prometheus text format. */
  metrics(): Promise<string> {
    const socketPath = path.join(this.directory, 'run', 'server.sock');
    return new Promise((resolve, reject) => {
      get({ socketPath, path: '/metrics' }, (answer) => resolve(text(answer))).on('error', reject);
    });
  }

  /** Closes the client when the test is over. */
  using(client: ApiClient): ApiClient {
    this.#clients.push(client);
    return client;
  }

  get address(): string {
    return this.server.address!;
  }

  async createToken(role: string): Promise<CreatedToken> {
    return (await this.root.request('POST', '/v1/tokens', { role })) as CreatedToken;
  }

  async asRole(role: 'node' | 'operator' | 'admin'): Promise<ApiClient> {
    return this.using(operatorClient(this.address, (await this.createToken(role)).token));
  }

  /** Joins as a machine whose uplink ends with `last` and whose state is in `node-NAME`. */
  async join(node: NodeName, last: number, token?: string): Promise<NodeCredential> {
    return joinCluster({
      server: this.address,
      token: token ?? (await this.createToken('node')).token,
      node,
      uplinkAddress: uplink(last),
      stateDir: path.join(this.directory, `node-${node}`),
    });
  }
}

/** Call it at the top of a test file. */
export function serverForEachTest(): ServerWorld {
  const world = new ServerWorld();
  beforeEach(() => world.start());
  afterEach(() => world.stop());
  return world;
}
