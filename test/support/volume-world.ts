/** A server with storage nodes for each test, and what people ask it about volumes. */
import type { ApiClient } from '../../linux/api-client.ts';
import { nodeClient, operatorClient, registerNode } from '../../linux/join.ts';
import type { NodeName } from '../../model/names.ts';
import type { Layout } from '../../model/volume.ts';
import type { VolumeShown } from '../../model/volume-request.ts';
import type { ServerOptions } from '../../orchestrator/server/main.ts';
import { type CreatedToken, type ServerWorld, serverForEachTest, uplink } from '../server-world.ts';
import { GIB, StorageFabric, StorageNode } from './storage-node.ts';

export interface WishWords {
  readonly tenant?: string;
  readonly name?: string;
  readonly sizeBytes?: unknown;
  readonly inodes?: number | null;
  readonly layout?: Layout;
  readonly thin?: boolean;
  readonly limits?: object;
  readonly nodeLimits?: object;
}

export interface VolumeWorld {
  readonly world: ServerWorld;
  /** By name: a has a zone of its own, as all have. */
  node(name: string): StorageNode;
  create(wish?: WishWords, as?: ApiClient): Promise<VolumeShown>;
  /** @param path  behind /v1/volumes */
  ask(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: object,
    as?: ApiClient,
  ): Promise<VolumeShown>;
  show(id: string, as?: ApiClient): Promise<VolumeShown>;
  list(query?: string, as?: ApiClient): Promise<VolumeShown[]>;
  audit(): Promise<{ operation: string; who: string; subject: string; reason?: string }[]>;
  tenantToken(tenant: string): Promise<ApiClient>;
  /** The node's own client: it speaks for itself only. */
  clientOf(name: string): ApiClient;
  /** Time goes by for the server, and every node says again how it is. */
  pass(ms: number): Promise<void>;
  restart(more?: Partial<ServerOptions>): Promise<void>;
}

const LONGEST_IN_STEPS_MS = 60_000;

export const WISH = { tenant: 'blue', name: 'shared', sizeBytes: 10 * GIB } as const;

/** @param names  of the storage nodes */
export function volumesForEachTest(names: readonly string[]): VolumeWorld {
  const world = serverForEachTest();
  const nodes = new Map<string, StorageNode>();
  const clients = new Map<string, ApiClient>();
  /** What the server takes for the ms of a clock that only goes forward, beside those that really go by. */
  let ahead = 0;
  let fabric = new StorageFabric();
  const clock = (): number => performance.now() + ahead;

  async function followAll(): Promise<void> {
    for (const node of nodes.values()) if (!node.silent && !node.isFollowing) await node.follow();
  }
  async function stopAll(): Promise<void> {
    for (const node of nodes.values()) await node.stop().catch(() => undefined);
  }

  beforeEach(async () => {
    await world.restart({ clock });
    for (const tenant of ['blue', 'red']) await world.root.request('POST', '/v1/tenants', { tenant });
    fabric = new StorageFabric();
    for (const [i, name] of names.entries()) {
      const client = world.using(nodeClient(await world.join(name as NodeName, i + 1)));
      await registerNode(client, name as NodeName, uplink(i + 1), { zone: `hall-${name}` });
      clients.set(name, client);
      nodes.set(name, new StorageNode(client, name, uplink(i + 1), fabric));
    }
    await followAll();
  });
  afterEach(async () => {
    await stopAll();
    nodes.clear();
    clients.clear();
  });

  const ask: VolumeWorld['ask'] = async (method, path, body, as = world.root) =>
    (await as.request(method, `/v1/volumes${path}`, body)) as VolumeShown;

  return {
    world,
    node: (name) => nodes.get(name)!,
    create: (wish = {}, as = world.root) => ask('POST', '?waitMs=5000', { ...WISH, ...wish }, as),
    ask,
    show: (id, as) => ask('GET', `/${id}`, undefined, as),
    list: async (query = '', as = world.root) =>
      ((await as.request('GET', `/v1/volumes${query}`)) as { items: VolumeShown[] }).items,
    audit: async () =>
      ((await world.root.request('GET', '/v1/audit?limit=1000')) as { items: never[] }).items,
    async tenantToken(tenant): Promise<ApiClient> {
      const asked = { role: 'tenant', tenant };
      const { token } = (await world.root.request('POST', '/v1/tokens', asked)) as CreatedToken;
      return world.using(operatorClient(world.address, token));
    },
    clientOf: (name) => clients.get(name)!,
    async pass(ms): Promise<void> {
      // In steps in which nobody who lives is silent for long; where it is hours, that does not matter.
      const step = ms <= LONGEST_IN_STEPS_MS ? 4_000 : ms;
      for (let left = ms; ; left -= step) {
        // What was said before must not be heard after.
        await fabric.quiet();
        ahead += Math.min(left, step);
        world.now += Math.min(left, step);
        await followAll();
        for (const node of nodes.values()) await node.report();
        if (left <= step) return;
      }
    },
    async restart(more = {}): Promise<void> {
      await stopAll();
      await world.restart({ clock, ...more });
      await followAll();
    },
  };
}
