/** Keys as nodes and operators meet them over the API: changes of them, fencing, a store from before, and what stays secret. */
import { nodeClient, registerNode } from '../../linux/join.ts';
import type { ClusterKeys, KeyReport } from '../../model/keys.ts';
import type { NodeName } from '../../model/names.ts';
import { openSqliteStore } from '../../store/sqlite.ts';
import { never, serverForEachTest, uplink } from '../../test/server-world.ts';
import { PATHS } from './layout.ts';

const A = 'a' as NodeName;
const B = 'b' as NodeName;

const world = serverForEachTest();

/** A node that does what it is told, and says so; `deaf` lets it stop. */
class ScriptedNode {
  readonly told: ClusterKeys[] = [];
  deaf = false;
  readonly ended: Promise<unknown>;
  readonly #stop = new AbortController();

  constructor(client: typeof world.root, name: NodeName) {
    this.ended = this.#follow(client, name).then(
      () => undefined,
      (error: unknown) => error,
    );
  }

  async #follow(client: typeof world.root, name: NodeName): Promise<void> {
    for await (const line of client.stream(`/v1/keys?watch=1&node=${name}`, this.#stop.signal)) {
      const keys = line as ClusterKeys;
      this.told.push(keys);
      if (this.deaf) continue;
      const held = { accepts: keys.keys.map(({ epoch }) => epoch), sends: keys.current };
      await client.request('PUT', `/v1/nodes/${name}/keys`, held);
    }
  }

  /** What it was told, as 'current:accepted'. */
  get story(): string[] {
    return this.told.map(({ current, keys }) => `${current}:${keys.map(({ epoch }) => epoch).join()}`);
  }

  async leave(): Promise<void> {
    this.#stop.abort();
    await this.ended;
  }
}

const report = async (): Promise<KeyReport> =>
  (await world.root.request('GET', '/v1/keys/rotation')) as KeyReport;

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 10_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const isOver = async (generation: number): Promise<boolean> => {
  const { phase, generation: now } = await report();
  return phase === 'steady' && now === generation;
};

beforeEach(async () => {
  await world.restart({
    now: Date.now,
    keys: { rotateEveryMs: 0, graceMs: 50, waitMs: 500, reconnectMs: 0 },
  });
  await registerNode(world.root, A, uplink(1));
});

describe('a change of keys', () => {
  it('is told in three steps to every node, and is over when all have followed', async () => {
    const a = new ScriptedNode(world.root, A);
    const b = new ScriptedNode(world.using(nodeClient(await world.join(B, 2))), B);
    await until('both follow', () => a.told.length + b.told.length === 2);
    expect(await world.root.request('POST', '/v1/keys/rotation')).toMatchObject({
      generation: 1,
      phase: 'spreading',
      next: { generation: 2, epoch: 2 },
    });
    await until('it is over', () => isOver(2));
    for (const node of [a, b]) {
      await until('the last was told', () => node.told.length === 4);
      expect(node.story).toEqual(['1:1', '1:1,2', '2:1,2', '2:2']);
    }
    expect((await report()).nodes.map(({ standing }) => standing)).toEqual(['current', 'current']);
    await Promise.all([a.leave(), b.leave()]);
  });

  it('waits for a node that does not answer, then names it', async () => {
    const a = new ScriptedNode(world.root, A);
    const b = new ScriptedNode(world.using(nodeClient(await world.join(B, 2))), B);
    b.deaf = true;
    await until('both follow', () => a.told.length + b.told.length === 2);
    await world.root.request('POST', '/v1/keys/rotation');
    expect((await report()).phase).toBe('spreading');
    await expect(world.root.request('POST', '/v1/keys/rotation')).rejects.toMatchObject({ code: 'conflict' });
    await until('it is over', () => isOver(2));
    expect((await report()).nodes.map(({ node, standing }) => `${node} ${standing}`)).toEqual([
      'a current',
      'b late',
    ]);
    const metrics = await world.metrics();
    expect(metrics).toContain('sluice_server_key_generation 2');
    expect(metrics).toContain('sluice_server_key_late_nodes 1');
    expect(metrics).toContain('sluice_server_key_rotations_total{what="ended"} 1');
    expect(JSON.stringify(await world.root.request('GET', '/v1/audit'))).toContain(
      'generation 2 goes on without node b',
    );
    await Promise.all([a.leave(), b.leave()]);
  });

  it('goes on where a server that was stopped has left it', async () => {
    const a = new ScriptedNode(world.root, A);
    a.deaf = true;
    await until('it follows', () => a.told.length === 1);
    await world.root.request('POST', '/v1/keys/rotation');
    await world.restart({
      now: Date.now,
      keys: { rotateEveryMs: 0, graceMs: 50, waitMs: 60_000, reconnectMs: 0 },
    });
    expect(await report()).toMatchObject({ phase: 'spreading', generation: 1 });
    const again = new ScriptedNode(world.root, A);
    await until('it is over', () => isOver(2));
    await again.leave();
    await a.leave();
  });

  it('begins when a node is removed, which knows the present key', async () => {
    const a = new ScriptedNode(world.root, A);
    await world.join(B, 2);
    await world.root.request('DELETE', '/v1/nodes/b');
    await until('it is over', () => isOver(2));
    await a.leave();
  });

  it('comes by the clock', async () => {
    await world.restart({
      now: Date.now,
      keys: { rotateEveryMs: 60, graceMs: 1, waitMs: 500, reconnectMs: 0 },
    });
    const a = new ScriptedNode(world.root, A);
    await until('the third key', async () => (await report()).generation >= 3);
    await a.leave();
  });
});

describe('a fenced node', () => {
  it('hears of no key that comes after, may look, and may change nothing', async () => {
    const a = new ScriptedNode(world.root, A);
    const client = world.using(nodeClient(await world.join(B, 2)));
    const b = new ScriptedNode(client, B);
    await until('both follow', () => a.told.length + b.told.length === 2);
    const admin = await world.asRole('admin');
    expect(await admin.request('PUT', '/v1/nodes/b/fence', { reason: 'lost' })).toMatchObject({
      fenced: true,
    });
    expect(await b.ended).toMatchObject({ code: 'refused' });
    await until('its keys have ended', () => isOver(2));
    await until('the last was told', () => a.told.length === 4);
    expect(b.story).toEqual(['1:1']);
    await expect(client.request('GET', '/v1/keys')).rejects.toMatchObject({ code: 'refused' });
    await expect(
      client.stream('/v1/keys?watch=1', never)[Symbol.asyncIterator]().next(),
    ).rejects.toMatchObject({
      code: 'refused',
    });
    expect(await client.request('GET', '/v1/nodes/b')).toMatchObject({ fenced: true });
    const forbidden = [
      ['PUT', '/v1/nodes/b', { uplinkAddress: '192.0.2.77' }],
      ['PUT', '/v1/nodes/b/keys', { accepts: [2], sends: 2 }],
      ['POST', '/v1/probes', { node: 'a', tenant: 'red', ttlSeconds: 60 }],
    ] as const;
    for (const [method, path, body] of forbidden) {
      await expect(client.request(method, path, body)).rejects.toMatchObject({ code: 'refused' });
    }
    expect(JSON.stringify(await world.root.request('GET', '/v1/audit'))).toContain('node b: lost');

    await admin.request('DELETE', '/v1/nodes/b/fence');
    const again = new ScriptedNode(client, B);
    await until('it is current', async () => (await report()).nodes[1]?.standing === 'current');
    expect(again.story).toEqual(['2:2']);
    await Promise.all([a.leave(), again.leave()]);
  });

  it('is fenced by admins only, and for a reason of one line', async () => {
    const operator = await world.asRole('operator');
    await expect(operator.request('PUT', '/v1/nodes/a/fence', {})).rejects.toMatchObject({ code: 'refused' });
    await expect(operator.request('POST', '/v1/keys/rotation')).rejects.toMatchObject({ code: 'refused' });
    for (const reason of ['', 'two\nlines', 'x'.repeat(201)]) {
      await expect(world.root.request('PUT', '/v1/nodes/a/fence', { reason })).rejects.toMatchObject({
        code: 'invalid_request',
      });
    }
    await expect(world.root.request('PUT', '/v1/nodes/x/fence', {})).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

describe('what a node says of its keys', () => {
  it('counts for itself only', async () => {
    const client = world.using(nodeClient(await world.join(B, 2)));
    const held = { accepts: [1], sends: 1 };
    await expect(client.request('PUT', '/v1/nodes/a/keys', held)).rejects.toMatchObject({ code: 'refused' });
    await client.request('PUT', '/v1/nodes/b/keys', held);
    expect((await report()).nodes).toMatchObject([{ held: null }, { held }]);
    const operator = await world.asRole('operator');
    await expect(operator.request('PUT', '/v1/nodes/b/keys', held)).rejects.toMatchObject({
      code: 'refused',
    });
  });
});

describe('a store from before there was a master key', () => {
  it('keeps its key until the first change, and derives the next', async () => {
    const key = '00112233445566778899aabbccddeeff';
    await world.server.close();
    const store = openSqliteStore(`${world.directory}/state/server.sqlite`, {});
    await store.txn({
      put: [{ key: PATHS.formerKeys, value: { current: 7, keys: [{ epoch: 7, key }] } }],
      delete: [PATHS.masterKey, PATHS.rotation],
    });
    await store.close();
    await world.restart({
      now: Date.now,
      keys: { rotateEveryMs: 0, graceMs: 1, waitMs: 500, reconnectMs: 0 },
    });
    expect(await world.root.request('GET', '/v1/keys')).toEqual({ current: 7, keys: [{ epoch: 7, key }] });
    const a = new ScriptedNode(world.root, A);
    await until('it follows', () => a.told.length === 1);
    await world.root.request('POST', '/v1/keys/rotation');
    await until('it is over', () => isOver(8));
    await until('the last was told', () => a.told.length === 4);
    expect(a.story).toEqual(['7:7', '7:7,8', '8:7,8', '8:8']);
    expect(a.told.slice(0, 3).every(({ keys }) => keys[0]?.key === key)).toBe(true);
    expect(JSON.stringify(a.told[3])).not.toContain(key);
    await a.leave();
  });
});
