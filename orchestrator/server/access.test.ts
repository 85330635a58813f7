/** Who gets in, and what they may do there: tokens, the pinned certificate, the table of roles. */
import { once } from 'node:events';
import fs from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { connect, createServer } from 'node:tls';
import type { Method } from '../../linux/api-client.ts';
import { serverClient } from '../../linux/api-tls.ts';
import { operatorClient, registerNode } from '../../linux/join.ts';
import { formatToken, parseToken } from '../../model/join.ts';
import type { NodeName } from '../../model/names.ts';
import { never, serverForEachTest, uplink } from '../../test/server-world.ts';
import { OPERATION_IDS } from './authorization.ts';
import { openIdentity } from './identity.ts';

const A = 'a' as NodeName;
const B = 'b' as NodeName;

const world = serverForEachTest();

describe('tokens', () => {
  it('show their secret once; the store has only a hash', async () => {
    const { id, token } = await world.createToken('operator');
    const { secret } = parseToken(token);
    const listed = JSON.stringify(await world.root.request('GET', '/v1/tokens'));
    expect(listed).toContain(id);
    expect(listed).not.toContain(secret);
    const files = fs
      .readdirSync(path.join(world.directory, 'state'))
      .map((name) => fs.readFileSync(path.join(world.directory, 'state', name)));
    expect(files.some((bytes) => bytes.includes(id))).toBe(true);
    expect(files.some((bytes) => bytes.includes(secret))).toBe(false);
  });

  it('end when their time is over: a day for joining', async () => {
    const { token, expiresAt } = await world.createToken('node');
    expect(expiresAt).toBe(world.now + 86_400_000);
    world.now += 86_400_000;
    await expect(world.join(B, 2, token)).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(await world.root.request('GET', '/v1/tokens')).toEqual({ items: [], next: null });
  });

  it('end when they are revoked, watches included', async () => {
    const { id, token } = await world.createToken('operator');
    const client = world.using(operatorClient(world.address, token));
    const watch = client.stream('/v1/cluster?watch=1', never)[Symbol.asyncIterator]();
    expect((await watch.next()).done).toBe(false);
    await world.root.request('DELETE', `/v1/tokens/${id}`);
    await expect(client.request('GET', '/v1/tenants')).rejects.toMatchObject({ code: 'unauthenticated' });
    await world.root.request('POST', '/v1/tenants', { tenant: 'red' });
    await expect(watch.next()).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('are refused when guessed, half known, or of another server', async () => {
    const { token } = await world.createToken('admin');
    const { id, secret, fingerprint } = parseToken(token);
    const wrong = ['', 'x', id, `${id}.`, `${id}.${secret.slice(1)}A`, `${id.replace(/./g, '0')}.${secret}`];
    for (const bearer of wrong) {
      const client = world.using(serverClient({ address: world.address, fingerprint, token: bearer }));
      await expect(client.request('GET', '/v1/tenants')).rejects.toMatchObject({ code: 'unauthenticated' });
      await expect(client.request('GET', '/v1/nothing')).rejects.toMatchObject({ code: 'unauthenticated' });
    }
  });
});

describe('the pinned certificate', () => {
  it('stays the same over restarts', async () => {
    const { fingerprint } = world.server;
    await world.restart();
    expect(world.server.fingerprint).toBe(fingerprint);
    expect(fs.statSync(path.join(world.directory, 'state', 'server.pem')).mode & 0o777).toBe(0o600);
  });

  it('keeps the token from whoever cannot show it', async () => {
    const token = parseToken((await world.createToken('admin')).token);
    const { pem } = await openIdentity(path.join(world.directory, 'impostor.pem'), world.now);
    let heard = '';
    const impostor = createServer({ key: pem, cert: pem }, (socket) => {
      socket.on('data', (chunk) => {
        heard += chunk.toString();
        socket.destroy();
      });
      socket.on('error', () => {});
    });
    await once(impostor.listen(0, '127.0.0.1'), 'listening');
    const { port } = impostor.address() as AddressInfo;
    const deceived = world.using(operatorClient(`127.0.0.1:${port}`, formatToken(token)));
    await expect(deceived.request('GET', '/v1/tenants')).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('another certificate'),
    });
    await once(impostor.close(), 'close');
    expect(heard).toBe('');
  });

  it('is shown over TLS 1.3 only', async () => {
    const [host, port] = world.address.split(':');
    const socket = connect({
      host: host!,
      port: Number(port),
      rejectUnauthorized: false,
      maxVersion: 'TLSv1.2',
    });
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => socket.once('error', resolve));
    expect(error.code).toContain('TLSV1_ALERT_PROTOCOL_VERSION');
  });
});

describe('authorisation', () => {
  it.each<[string, Method, string, unknown]>([
    ['keys', 'GET', '/v1/keys', undefined],
    ['a watch of the keys', 'GET', '/v1/keys?watch=1', undefined],
    ['tokens', 'GET', '/v1/tokens', undefined],
    ['an admin token', 'POST', '/v1/tokens', { role: 'admin' }],
    ['the end of a node', 'DELETE', '/v1/nodes/a', undefined],
    [
      'to join as a node',
      'POST',
      '/v1/nodes/join',
      { node: 'x', uplinkAddress: '192.0.2.9', secret: 'A'.repeat(43) },
    ],
    ['to register a node', 'PUT', '/v1/nodes/x', { uplinkAddress: '192.0.2.9' }],
  ])('refuses an operator: %s', async (_what, method, where, body) => {
    await registerNode(world.root, A, uplink(1));
    const operator = await world.asRole('operator');
    await expect(operator.request(method, where, body)).rejects.toMatchObject({ code: 'refused' });
  });

  it('gives a join token nothing but joining', async () => {
    const client = world.using(operatorClient(world.address, (await world.createToken('node')).token));
    for (const where of ['/v1/tenants', '/v1/keys', '/v1/cluster', '/v1/status', '/v1/audit', '/metrics']) {
      await expect(client.request('GET', where)).rejects.toMatchObject({ code: 'refused' });
    }
  });

  it('is decided before anything of a body is read', async () => {
    const { token } = await world.createToken('operator');
    const { id, secret } = parseToken(token);
    const [host, port] = world.address.split(':');
    const asked = request({
      ...{ host, port, method: 'POST', path: '/v1/nodes/a/storage', rejectUnauthorized: false },
      headers: {
        authorization: `Bearer ${id}.${secret}`,
        ...{ 'content-type': 'application/json', 'content-length': 30_000_000 },
      },
    });
    asked.on('error', () => undefined); // it is cut off
    asked.flushHeaders();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    asked.destroy();
    expect(answer.statusCode).toBe(403);
  });

  it('lets an operator run tenants and an admin make tokens', async () => {
    const operator = await world.asRole('operator');
    expect(await operator.request('POST', '/v1/tenants', { tenant: 'red' })).toMatchObject({ tag: 1 });
    const admin = await world.asRole('admin');
    expect(await admin.request('POST', '/v1/tokens', { role: 'operator' })).toMatchObject({
      role: 'operator',
    });
  });

  it('has an operation for every entry of its table, and documents it', async () => {
    const { paths } = (await world.root.request('GET', '/v1/openapi.json')) as {
      paths: Record<string, Record<string, { operationId: string }>>;
    };
    const documented = Object.values(paths).flatMap((path) =>
      Object.values(path).map((one) => one.operationId),
    );
    expect(documented.sort()).toEqual([...OPERATION_IDS].sort());
  });
});
