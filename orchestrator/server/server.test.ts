/** Tenants, namespaces, audit and starts of the server, as its clients meet them. */
import fs from 'node:fs';
import { get } from 'node:http';
import path from 'node:path';
import type { Method } from '../../linux/api-client.ts';
import { operatorClient } from '../../linux/join.ts';
import type { ClusterSettings } from '../../model/cluster.ts';
import { never, serverForEachTest, settings } from '../../test/server-world.ts';
import { runServer } from './main.ts';

const world = serverForEachTest();

const refusedWith = (code: string): object => expect.objectContaining({ code });

describe('tenants', () => {
  it('get tags that go up and never come back', async () => {
    expect(await world.root.request('POST', '/v1/tenants', { tenant: 'red' })).toMatchObject({
      tenant: 'red',
      tag: 1,
    });
    expect(await world.root.request('POST', '/v1/tenants', { tenant: 'blue' })).toMatchObject({ tag: 2 });
    await world.root.request('DELETE', '/v1/tenants/blue');
    expect(await world.root.request('POST', '/v1/tenants', { tenant: 'blue' })).toMatchObject({ tag: 3 });
    expect(await world.root.request('GET', '/v1/tenants/blue')).toMatchObject({
      tenant: 'blue',
      tag: 3,
      createdAt: world.now,
    });
  });

  it('are made once, also when many ask at the same moment', async () => {
    const names = Array.from({ length: 30 }, (_, i) => `t${i % 10}`);
    const made = await Promise.allSettled(
      names.map((tenant) => world.root.request('POST', '/v1/tenants', { tenant })),
    );
    const tags = made.flatMap((one) =>
      one.status === 'fulfilled' ? [(one.value as { tag: number }).tag] : [],
    );
    expect(tags.sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const refused = made.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    expect(refused).toEqual(Array(20).fill(refusedWith('already_exists')));
  });

  it('are listed page by page', async () => {
    for (const tenant of ['c', 'a', 'b']) await world.root.request('POST', '/v1/tenants', { tenant });
    const first = await world.root.request('GET', '/v1/tenants?limit=2');
    expect(first).toMatchObject({ items: [{ tenant: 'a' }, { tenant: 'b' }], next: 'b' });
    expect(await world.root.request('GET', '/v1/tenants?limit=2&after=b')).toMatchObject({
      items: [{ tenant: 'c' }],
      next: null,
    });
  });

  it('stay while a namespace is mapped to them', async () => {
    await world.root.request('POST', '/v1/tenants', { tenant: 'red' });
    await world.root.request('PUT', '/v1/namespaces/shop', { tenant: 'red' });
    await expect(world.root.request('DELETE', '/v1/tenants/red')).rejects.toMatchObject({ code: 'conflict' });
    expect(await world.root.request('GET', '/v1/namespaces')).toEqual({
      items: [{ namespace: 'shop', tenant: 'red' }],
      next: null,
    });
    await world.root.request('DELETE', '/v1/namespaces/shop');
    await world.root.request('DELETE', '/v1/tenants/red');
    await expect(world.root.request('PUT', '/v1/namespaces/shop', { tenant: 'red' })).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

describe('bad input', () => {
  it.each<[string, Method, string, unknown, string]>([
    ['an unknown key', 'POST', '/v1/tenants', { tenant: 'a', colour: 'red' }, 'invalid_request'],
    ['no body', 'POST', '/v1/tenants', undefined, 'invalid_request'],
    ['a name that climbs', 'POST', '/v1/tenants', { tenant: '../../etc' }, 'invalid_request'],
    ['a name with a NUL', 'POST', '/v1/tenants', { tenant: 'a\0b' }, 'invalid_request'],
    ['a name of 300 characters', 'POST', '/v1/tenants', { tenant: 'a'.repeat(300) }, 'invalid_request'],
    ['a name that climbs, in the path', 'GET', '/v1/tenants/..%2F..%2Fkeys', undefined, 'invalid_request'],
    ['an array', 'POST', '/v1/tenants', ['a'], 'invalid_request'],
    ['__proto__', 'POST', '/v1/tenants', JSON.parse('{"tenant":"a","__proto__":{"x":1}}'), 'invalid_json'],
    ['an unknown query', 'GET', '/v1/tenants?colour=red', undefined, 'invalid_request'],
    ['a limit of 0', 'GET', '/v1/tenants?limit=0', undefined, 'invalid_request'],
    ['a body of 2 MiB', 'POST', '/v1/tenants', { tenant: 'x'.repeat(2 ** 21) }, 'too_large'],
    ['a bad uplink address', 'PUT', '/v1/nodes/a', { uplinkAddress: '192.0.2.300' }, 'invalid_request'],
    ['an uplink address in a pool', 'PUT', '/v1/nodes/a', { uplinkAddress: '10.64.1.1' }, 'invalid_request'],
    ['a path nobody knows', 'GET', '/v1/secrets', undefined, 'not_found'],
    ['a tenant nobody knows', 'GET', '/v1/tenants/nobody', undefined, 'not_found'],
  ])('is refused: %s', async (_what, method, where, body, code) => {
    const before = (await world.root.request('GET', '/v1/status')) as { revision: number };
    await expect(world.root.request(method, where, body)).rejects.toMatchObject({
      code,
      hint: expect.stringMatching(/./),
    });
    expect(await world.root.request('GET', '/v1/status')).toMatchObject({ revision: before.revision });
  });
});

describe('metrics', () => {
  it('count what is there and what was answered', async () => {
    await world.root.request('POST', '/v1/tenants', { tenant: 'red' });
    await world.root.request('POST', '/v1/tenants', { tenant: 'red' }).catch(() => {});
    const watch = world.root.stream('/v1/cluster?watch=1', never)[Symbol.asyncIterator]();
    await watch.next();
    const text = await metricsText();
    expect(text).toContain('sluice_server_tenants 1\n');
    expect(text).toContain('sluice_server_requests_total{operation="tenant.create",status="201"} 1\n');
    expect(text).toContain('sluice_server_requests_total{operation="tenant.create",status="409"} 1\n');
    expect(text).toContain('sluice_server_streams 1\n');
    await watch.return?.();
  });

  const metricsText = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const request = get(
        { socketPath: path.join(world.directory, 'run', 'server.sock'), path: '/metrics' },
        (answer) => {
          let text = '';
          answer.on('data', (chunk: Buffer) => {
            text += chunk.toString();
          });
          answer.on('end', () => resolve(text));
        },
      );
      request.on('error', reject);
    });
});

describe('the audit log', () => {
  it('says who did what, when, and nothing of secrets', async () => {
    await world.root.request('POST', '/v1/tenants', { tenant: 'red' });
    const { id, token } = await world.createToken('operator');
    const operator = world.using(operatorClient(world.address, token));
    await operator.request('DELETE', '/v1/tenants/red');
    await expect(operator.request('DELETE', '/v1/tenants/red')).rejects.toMatchObject({ code: 'not_found' });
    expect(await operator.request('GET', '/v1/audit')).toEqual({
      items: [
        { number: 1, at: world.now, who: 'root', operation: 'tenant.create', subject: 'tenant red' },
        { number: 2, at: world.now, who: 'root', operation: 'token.create', subject: `operator token ${id}` },
        {
          number: 3,
          at: world.now,
          who: `operator ${id}`,
          operation: 'tenant.delete',
          subject: 'tenant red',
        },
      ],
      next: null,
    });
  });
});

describe('a start', () => {
  it('keeps everything over a restart: tenants, key, nodes', async () => {
    await world.root.request('POST', '/v1/tenants', { tenant: 'red' });
    const keys = await world.root.request('GET', '/v1/keys');
    await world.restart();
    expect(await world.root.request('GET', '/v1/keys')).toEqual(keys);
    expect(await world.root.request('POST', '/v1/tenants', { tenant: 'blue' })).toMatchObject({ tag: 2 });
  });

  it('is refused with other pools than the first', async () => {
    await world.server.close();
    const other = { ...settings, blockPrefix: 24 };
    await expect(runServer(world.options({ settings: other }))).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('network.blockPrefix is 22, the configuration says 24'),
    });
    await world.restart();
  });

  it('is refused beside a living server, on a taken port, and with pools that overlap', async () => {
    await expect(runServer(world.options())).rejects.toMatchObject({ code: 'already_exists' });
    const elsewhere = {
      runDir: path.join(world.directory, 'run2'),
      stateDir: path.join(world.directory, 'state2'),
    };
    await expect(runServer(world.options({ ...elsewhere, listen: world.address }))).rejects.toMatchObject({
      code: 'port_taken',
    });
    const overlapping = { ...settings, externalPool: '10.64.0.0/16' } as ClusterSettings;
    await expect(
      runServer(
        world.options({
          ...elsewhere,
          stateDir: path.join(world.directory, 'state3'),
          settings: overlapping,
        }),
      ),
    ).rejects.toMatchObject({
      code: 'invalid_request',
    });
    expect(await world.root.request('GET', '/v1/status')).toMatchObject({ role: 'server', ready: true });
  });

  it('leaves private files only', () => {
    const stateDir = path.join(world.directory, 'state');
    const modes = fs
      .readdirSync(stateDir)
      .map((name) => (fs.statSync(path.join(stateDir, name)).mode & 0o777).toString(8));
    expect(new Set(modes)).toEqual(new Set(['600']));
    expect(fs.statSync(path.join(world.directory, 'run', 'server.sock')).mode & 0o777).toBe(0o600);
  });
});
