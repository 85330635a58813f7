/** Nodes: how they join, what they follow and what they are asked for, over real TLS. */
import fs from 'node:fs';
import path from 'node:path';
import { joinCluster, nodeClient, registerNode } from '../../linux/join.ts';
import { silentLog } from '../../model/log.ts';
import type { NodeName, TenantName } from '../../model/names.ts';
import { followCluster, followKeys } from '../../store/cluster-client.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { never, serverForEachTest, settings, uplink } from '../../test/server-world.ts';

const A = 'a' as NodeName;
const B = 'b' as NodeName;

const world = serverForEachTest();

describe('nodes', () => {
  it('get the lowest free blocks, keep them, and give them back when they are deleted', async () => {
    expect(await registerNode(world.root, A, uplink(1))).toMatchObject({
      node: { internalBlock: '10.64.0.0/22', externalBlock: '10.80.0.0/22' },
      settings,
    });
    await world.join(B, 2);
    expect(await world.root.request('GET', '/v1/nodes/b')).toMatchObject({
      internalBlock: '10.64.4.0/22',
      uplinkAddress: '192.0.2.2',
    });
    expect((await registerNode(world.root, A, uplink(9))).node).toMatchObject({
      internalBlock: '10.64.0.0/22',
      uplinkAddress: '192.0.2.9',
    });
    await world.root.request('DELETE', '/v1/nodes/a');
    expect((await registerNode(world.root, 'c' as NodeName, uplink(3))).node).toMatchObject({
      internalBlock: '10.64.0.0/22',
    });
  });

  it('join once: repeated, the answer is the same, and another machine cannot take the name', async () => {
    const token = (await world.createToken('node')).token;
    const first = await world.join(B, 2, token);
    const credentialFile = path.join(world.directory, 'node-b', 'node.json');
    expect(fs.statSync(credentialFile).mode & 0o777).toBe(0o600);
    // As if the answer had been lost.
    fs.writeFileSync(credentialFile, JSON.stringify({ ...first, id: null }));
    expect(await world.join(B, 2, token)).toEqual(first);
    fs.rmSync(credentialFile);
    await expect(world.join(B, 2, token)).rejects.toMatchObject({ code: 'already_exists' });
    await expect(registerNode(world.root, B, uplink(2))).rejects.toMatchObject({ code: 'already_exists' });
    expect(await world.root.request('GET', '/v1/nodes')).toMatchObject({ items: [{ node: 'b' }] });
  });

  it('that have joined need neither server nor token to know who they are', async () => {
    const first = await world.join(B, 2);
    await world.server.close();
    const again = {
      server: world.address,
      node: B,
      uplinkAddress: uplink(2),
      stateDir: path.join(world.directory, 'node-b'),
    };
    expect(await joinCluster({ ...again, token: undefined })).toEqual(first);
    await expect(joinCluster({ ...again, token: undefined, node: A })).rejects.toMatchObject({
      code: 'refused',
    });
    await world.restart();
    const client = world.using(nodeClient(first));
    expect((await registerNode(client, B, uplink(7))).node).toMatchObject({ uplinkAddress: '192.0.2.7' });
  });

  it('speak only for themselves, and no more once they are deleted', async () => {
    await registerNode(world.root, A, uplink(1));
    const client = world.using(nodeClient(await world.join(B, 2)));
    await expect(registerNode(client, A, uplink(1))).rejects.toMatchObject({ code: 'already_exists' });
    await expect(registerNode(client, B, uplink(1))).rejects.toMatchObject({ code: 'address_taken' });
    expect(await client.request('GET', '/v1/keys')).toMatchObject({ current: 1 });
    await world.root.request('DELETE', '/v1/nodes/b');
    await expect(client.request('GET', '/v1/keys')).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('all get different blocks when they come at the same moment', async () => {
    const { token } = await world.createToken('node');
    const names = Array.from({ length: 12 }, (_, i) => `n${i}` as NodeName);
    await Promise.all(names.map((name, i) => world.join(name, 10 + i, token)));
    const { items } = (await world.root.request('GET', '/v1/nodes')) as {
      items: { internalBlock: string }[];
    };
    expect(new Set(items.map((node) => node.internalBlock)).size).toBe(12);
  });
});

describe('the watch', () => {
  it('begins with the whole cluster, then tells every change', async () => {
    await registerNode(world.root, A, uplink(1));
    const watch = world.root.stream('/v1/cluster?watch=1&node=a', never)[Symbol.asyncIterator]();
    const next = async (): Promise<unknown> => (await watch.next()).value as unknown;
    expect(await next()).toMatchObject({
      snapshot: { settings, tenants: [], nodes: [{ node: 'a' }], namespaces: [], guards: [], probes: [] },
    });
    await world.root.request('POST', '/v1/tenants', { tenant: 'red' });
    await world.root.request('PUT', '/v1/namespaces/shop', { tenant: 'red' });
    await world.root.request('DELETE', '/v1/namespaces/shop');
    await world.root.request('DELETE', '/v1/tenants/red');
    expect(await next()).toMatchObject({ put: { kind: 'tenant', value: { tenant: 'red', tag: 1 } } });
    expect(await next()).toMatchObject({
      put: { kind: 'namespace', value: { namespace: 'shop', tenant: 'red' } },
    });
    expect(await next()).toMatchObject({ delete: { kind: 'namespace', name: 'shop' } });
    expect(await next()).toMatchObject({ delete: { kind: 'tenant', name: 'red' } });
    await watch.return?.();
  });

  it('goes on from a revision, and says so when that is not possible', async () => {
    const { revision } = (await world.root.request('GET', '/v1/cluster')) as { revision: number };
    await world.root.request('POST', '/v1/tenants', { tenant: 'red' });
    const watch = world.root.stream(`/v1/cluster?watch=1&after=${revision}`, never)[Symbol.asyncIterator]();
    expect((await watch.next()).value).toMatchObject({ put: { value: { tenant: 'red' } } });
    await watch.return?.();
    const future = world.root.stream('/v1/cluster?watch=1&after=9999', never)[Symbol.asyncIterator]();
    await expect(future.next()).rejects.toMatchObject({ code: 'compacted' });
  });

  it('tells a new carrier, which only operators may set', async () => {
    await registerNode(world.root, A, uplink(1), { nic: true });
    const watch = world.root.stream('/v1/cluster?watch=1', never)[Symbol.asyncIterator]();
    expect((await watch.next()).value).toMatchObject({
      snapshot: { settings: { carrier: 'auto' }, nodes: [{ node: 'a', nic: true, fenced: false }] },
    });
    const operator = await world.asRole('operator');
    expect(await operator.request('PATCH', '/v1/cluster', { carrier: 'vxlan' })).toEqual({
      ...settings,
      carrier: 'vxlan',
    });
    expect((await watch.next()).value).toMatchObject({
      put: { kind: 'settings', value: { ...settings, carrier: 'vxlan' } },
    });
    await watch.return?.();
    await world.restart();
    expect(await world.root.request('GET', '/v1/cluster')).toMatchObject({
      snapshot: { settings: { carrier: 'vxlan' } },
    });
    const node = world.using(nodeClient(await world.join(B, 2)));
    await expect(node.request('PATCH', '/v1/cluster', { carrier: 'auto' })).rejects.toMatchObject({
      code: 'refused',
    });
    const wrong = [{ carrier: 'smoke' }, { internalPool: '10.0.0.0/8' }, {}];
    for (const body of wrong) {
      await expect(world.root.request('PATCH', '/v1/cluster', body)).rejects.toMatchObject({
        code: 'invalid_request',
      });
    }
  });

  it('ends when the server stops', async () => {
    const watch = world.root.stream('/v1/cluster?watch=1', never)[Symbol.asyncIterator]();
    await watch.next();
    const end = watch.next();
    await world.server.close();
    expect((await end).done).toBe(true);
  });
});

describe('a node that follows over TLS', () => {
  it('has every change, goes on without the server, and catches up when it is back', async () => {
    const stop = new AbortController();
    const store = openMemoryStore();
    const client = world.using(nodeClient(await world.join(B, 2)));
    const following = { client, store, signal: stop.signal, log: silentLog };
    const cluster = await followCluster({ ...following, node: B });
    const keys = await followKeys({ ...following, node: B });
    const until = async (holds: () => boolean): Promise<void> => {
      for await (const _ of cluster.changes()) if (holds()) return;
    };
    await until(() => cluster.current()?.nodes.has(B) === true);
    await world.root.request('POST', '/v1/tenants', { tenant: 'red' });
    await until(() => cluster.current()?.tenants.has('red' as TenantName) === true);
    const { value: first } = await keys.changes()[Symbol.asyncIterator]().next();
    expect(first).toEqual(await world.root.request('GET', '/v1/keys'));
    await world.server.close();
    expect(cluster.current()?.tenants.size).toBe(1);
    await world.restart();
    await world.root.request('POST', '/v1/tenants', { tenant: 'blue' });
    await until(() => cluster.current()?.tenants.has('blue' as TenantName) === true);
    stop.abort();
    await store.close();
  });
});

describe('probes', () => {
  const ask = { node: 'b', tenant: 'red', ttlSeconds: 60 };

  it('go to their node alone, which reports on them, until their time is over', async () => {
    await world.root.request('POST', '/v1/tenants', { tenant: 'red' });
    await registerNode(world.root, A, uplink(1));
    const b = world.using(nodeClient(await world.join(B, 2)));
    const c = world.using(nodeClient(await world.join('c' as NodeName, 3)));
    const watch = b.stream('/v1/cluster?watch=1', never)[Symbol.asyncIterator]();
    await watch.next();
    const { id } = (await c.request('POST', '/v1/probes', ask)) as { id: string };
    expect((await watch.next()).value).toMatchObject({
      put: { kind: 'probe', value: { id, node: 'b', tenant: 'red', status: null } },
    });
    expect(await c.request('GET', '/v1/cluster')).toMatchObject({ snapshot: { probes: [] } });
    const status = { ready: true, internalAddress: '10.64.4.9', externalAddress: '10.80.4.9' };
    await expect(c.request('PUT', `/v1/probes/${id}/status`, status)).rejects.toMatchObject({
      code: 'refused',
    });
    await b.request('PUT', `/v1/probes/${id}/status`, status);
    expect(await c.request('GET', `/v1/probes/${id}`)).toMatchObject({ status });
    expect((await watch.next()).value).toMatchObject({ put: { value: { status } } });
    world.now += 60_000;
    expect((await watch.next()).value).toMatchObject({ delete: { kind: 'probe', name: id } });
    await expect(c.request('GET', `/v1/probes/${id}`)).rejects.toMatchObject({ code: 'not_found' });
    await watch.return?.();
  });

  it('are refused without node or tenant, for too long, and in masses', async () => {
    const refused = async (body: object): Promise<void> =>
      expect(world.root.request('POST', '/v1/probes', body)).rejects.toMatchObject({
        code: expect.stringMatching(/not_found|invalid_request|limited/),
      });
    await refused(ask);
    await world.root.request('POST', '/v1/tenants', { tenant: 'red' });
    await refused(ask);
    await registerNode(world.root, B, uplink(2));
    await refused({ ...ask, ttlSeconds: 121 });
    for (let i = 0; i < 64; i++) await world.root.request('POST', '/v1/probes', ask);
    await refused(ask);
  });
});
