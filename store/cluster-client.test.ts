import type { Ipv4 } from '../model/addresses.ts';
import type { ClusterSettings } from '../model/cluster.ts';
import type { ClusterLine, ClusterSnapshot } from '../model/cluster-changes.ts';
import { silentLog } from '../model/log.ts';
import type { NodeName, TenantName } from '../model/names.ts';
import { NO_DEFAULTS } from '../model/plan.ts';
import { followCluster, followKeys } from './cluster-client.ts';
import type { Store } from './contract.ts';
import type { StreamSource } from './follow.ts';
import { openMemoryStore } from './memory.ts';

const settings = {
  internalPool: '10.64.0.0/12',
  externalPool: '10.80.0.0/12',
  blockPrefix: 22,
} as ClusterSettings;
const empty: ClusterSnapshot = {
  settings,
  tenants: [],
  nodes: [],
  namespaces: [],
  guards: [],
  plans: [],
  limits: NO_DEFAULTS,
  switches: [],
  volumes: [],
  probes: [],
};
const red = { tenant: 'red' as TenantName, tag: 1, createdAt: 0 } as ClusterSnapshot['tenants'][number];
const node = {
  node: 'b',
  uplinkAddress: '192.0.2.2' as Ipv4,
  internalBlock: '10.64.0.0/22',
  externalBlock: '10.80.0.0/22',
  joinedAt: 0,
} as ClusterSnapshot['nodes'][number];

/** A server whose lines the test pushes, and whose connection the test cuts. */
function scriptedServer(): StreamSource & {
  push(line: unknown): void;
  cut(): void;
  asked: string[];
} {
  let queue: unknown[] = [];
  let isCut = false;
  let wake = (): void => {};
  const asked: string[] = [];
  return {
    asked,
    push: (line) => {
      queue.push(line);
      wake();
    },
    cut: () => {
      isCut = true;
      wake();
    },
    async *stream(path, signal): AsyncGenerator<unknown> {
      asked.push(path);
      isCut = false;
      signal.addEventListener('abort', () => wake(), { once: true });
      while (!signal.aborted) {
        const lines = queue;
        queue = [];
        yield* lines;
        if (isCut) throw new Error('connection cut');
        if (queue.length === 0) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    },
  };
}

let stop: AbortController;
let store: Store;
beforeEach(() => {
  stop = new AbortController();
  store = openMemoryStore();
});
afterEach(async () => {
  stop.abort();
  await store.close();
});

const name = 'a' as NodeName;
const start = (server: StreamSource): ReturnType<typeof followCluster> =>
  followCluster({ client: server, store, node: name, signal: stop.signal, log: silentLog });

const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + 5_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error('waited 5 s in vain');
    await new Promise(setImmediate);
  }
};

describe('following the cluster', () => {
  it('folds the snapshot and every change into one picture', async () => {
    const server = scriptedServer();
    const followed = await start(server);
    expect(followed.current()).toBeUndefined();
    server.push({ revision: 1, snapshot: { ...empty, nodes: [node] } } satisfies ClusterLine);
    server.push({ revision: 2, put: { kind: 'tenant', value: red } } satisfies ClusterLine);
    server.push({ heartbeat: 2 });
    server.push({ revision: 3, delete: { kind: 'node', name: 'b' } } satisfies ClusterLine);
    await until(() => followed.current()?.revision === 3);
    expect(followed.current()?.tenants).toEqual(new Map([['red', red]]));
    expect(followed.current()?.nodes).toEqual(new Map());
    expect(followed.connected()).toBe(true);
    expect(server.asked).toEqual(['/v1/cluster?watch=1&node=a']);
  });

  it('tells each picture at least once more than the last, skipping those a slow reader missed', async () => {
    const server = scriptedServer();
    const changes = (await start(server)).changes()[Symbol.asyncIterator]();
    server.push({ revision: 1, snapshot: empty });
    expect((await changes.next()).value).toMatchObject({ revision: 1 });
    const waiting = changes.next();
    server.push({ revision: 2, put: { kind: 'tenant', value: red } });
    expect((await waiting).value).toMatchObject({ revision: 2 });
    for (let revision = 3; revision <= 9; revision++)
      server.push({ revision, put: { kind: 'node', value: node } });
    let seen = 2;
    while (seen < 9) {
      const { revision } = (await changes.next()).value as { revision: number };
      expect(revision).toBeGreaterThan(seen);
      seen = revision;
    }
    const end = changes.next();
    stop.abort();
    expect((await end).done).toBe(true);
  });

  it('keeps the last picture when the server goes, and takes the new one when it is back', async () => {
    const server = scriptedServer();
    const followed = await start(server);
    server.push({ revision: 7, snapshot: { ...empty, tenants: [red] } });
    await until(() => followed.connected());
    server.cut();
    await until(() => !followed.connected());
    expect(followed.current()?.tenants.size).toBe(1);
    // Another server, restored from a backup: its revisions start lower, and its word counts.
    server.push({ revision: 2, snapshot: empty });
    await until(() => followed.connected());
    expect(followed.current()).toMatchObject({ revision: 2, tenants: new Map() });
    expect(server.asked).toHaveLength(2);
  });

  it('starts from what it remembers when the server is away', async () => {
    const server = scriptedServer();
    server.push({
      revision: 5,
      snapshot: { ...empty, tenants: [red], namespaces: [{ namespace: 'shop', tenant: 'red' }] },
    });
    const first = await start(server);
    await until(async () => (await store.get('followed/cluster')) !== undefined);
    stop.abort();
    stop = new AbortController();
    const away: StreamSource = {
      // biome-ignore lint/correctness/useYield: a server that never answers has nothing to yield.
      async *stream(): AsyncGenerator<never> {
        throw new Error('nobody there');
      },
    };
    const second = await start(away);
    expect(second.current()).toEqual(first.current());
    expect(second.connected()).toBe(false);
  });

  it('is not led astray by lines it does not know', async () => {
    const server = scriptedServer();
    const followed = await start(server);
    server.push({ revision: 1, snapshot: { ...empty, tenants: [red] } });
    await until(() => followed.connected());
    server.push({ revision: 2, put: { kind: 'planet', value: {} } });
    await until(() => server.asked.length === 2);
    expect(followed.current()).toMatchObject({ revision: 1 });
    server.push({ revision: 3, snapshot: empty });
    await until(() => followed.current()?.revision === 3);
  });
});

describe('following the keys', () => {
  const keys = { current: 1, keys: [{ epoch: 1, key: '00112233445566778899aabbccddeeff' }] };

  it('has the newest keys, and remembers them', async () => {
    const server = scriptedServer();
    const followed = await followKeys({
      ...{ client: server, store, signal: stop.signal, log: silentLog },
      node: 'b' as NodeName,
    });
    server.push({ heartbeat: 0 });
    server.push(keys);
    server.push({ heartbeat: 1 });
    await until(() => followed.current() !== undefined);
    expect(followed.current()).toEqual(keys);
    await until(async () => (await store.get('followed/keys')) !== undefined);
    expect((await store.get('followed/keys'))?.value).toEqual(keys);
  });
});
