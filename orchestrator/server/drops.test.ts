/** Who hears of refused packets: operators of all, a tenant of its own and of nothing else. */
import type { ApiClient } from '../../linux/api-client.ts';
import { serverClient } from '../../linux/api-tls.ts';
import { nodeClient, operatorClient } from '../../linux/join.ts';
import type { DropEvent } from '../../model/drop.ts';
import { parseToken } from '../../model/join.ts';
import type { NodeName } from '../../model/names.ts';
import { type CreatedToken, never, serverForEachTest } from '../../test/server-world.ts';

const world = serverForEachTest();
const B = 'b' as NodeName;

const drop = (tenant: string | null, tag: number, fields: Partial<DropEvent> = {}): DropEvent => ({
  time: '2030-01-02T03:04:05.678Z',
  node: B,
  tag,
  tenant: tenant as DropEvent['tenant'],
  container: null,
  ifindex: 7,
  interface: 'si0123456789ab',
  reason: 'source_ip',
  hook: 'port_in',
  length: 60,
  ...fields,
});

let node: ApiClient;

beforeEach(async () => {
  for (const tenant of ['red', 'blue']) await world.root.request('POST', '/v1/tenants', { tenant });
  node = world.using(nodeClient(await world.join(B, 2)));
});

const report = (events: readonly DropEvent[], as = node): Promise<unknown> =>
  as.request('POST', '/v1/nodes/b/drops', { events });
const tokenOf = async (tenant: string): Promise<CreatedToken> =>
  (await world.root.request('POST', '/v1/tokens', { role: 'tenant', tenant })) as CreatedToken;
const speaker = async (tenant: string): Promise<ApiClient> =>
  world.using(operatorClient(world.address, (await tokenOf(tenant)).token));
const listed = async (client: ApiClient, query = ''): Promise<readonly (string | null)[]> => {
  const { items } = (await client.request('GET', `/v1/drops${query}`)) as { items: DropEvent[] };
  return items.map(({ tenant }) => tenant);
};

describe('refused packets', () => {
  it('are shown to operators, all of them or those asked for', async () => {
    const operator = await world.asRole('operator');
    await report([drop('red', 1), drop('blue', 2, { reason: 'arp_spoof' }), drop(null, 0)]);
    expect(await listed(operator)).toEqual(['red', 'blue', null]);
    expect(await listed(operator, '?tenant=blue')).toEqual(['blue']);
    expect(await listed(operator, '?reason=source_ip')).toEqual(['red', null]);
    expect(await listed(operator, '?limit=1')).toEqual([null]);
  });

  it('are shown to a tenant when they are its own, whatever it asks', async () => {
    const red = await speaker('red');
    await report([drop('red', 1), drop('blue', 2), drop(null, 0)]);
    expect(await listed(red)).toEqual(['red']);
    expect(await listed(red, '?tenant=red')).toEqual(['red']);
    expect(await listed(red, '?reason=arp_spoof')).toEqual([]);
    for (const query of ['?tenant=blue', '?tenant=blue&watch=1', '?tenant=nobody'])
      await expect(red.request('GET', `/v1/drops${query}`)).rejects.toMatchObject({ code: 'refused' });
    for (const query of ['?tenant=', '?tenant=red&tenant=blue', '?tenant[]=blue', '?who=blue'])
      await expect(red.request('GET', `/v1/drops${query}`)).rejects.toMatchObject({
        code: 'invalid_request',
      });
  });

  it('are watched by a tenant as far as they are its own, and it does not hear how many others there are', async () => {
    const red = await speaker('red');
    const watch = red.stream('/v1/drops?watch=1', never)[Symbol.asyncIterator]();
    const first = watch.next();
    const again = setInterval(
      () => void report([drop('blue', 2), drop('red', 1)]).catch(() => undefined),
      20,
    );
    const { value } = await first.finally(() => clearInterval(again));
    expect(value).toMatchObject({ tenant: 'red' });
    for (let i = 0; i < 10; i++) await report(Array.from({ length: 200 }, () => drop('blue', 2)));
    await report([drop('red', 1, { reason: 'loopback' })]);
    for (;;) {
      const next = (await watch.next()).value as DropEvent;
      expect(next).toMatchObject({ tenant: 'red' });
      if (next.reason === 'loopback') break;
    }
    await watch.return?.();
  });

  it('end for a token that is revoked', async () => {
    const { id, token } = await tokenOf('red');
    const red = world.using(operatorClient(world.address, token));
    const watch = red.stream('/v1/drops?watch=1', never)[Symbol.asyncIterator]();
    const first = watch.next();
    const again = setInterval(() => void report([drop('red', 1)]).catch(() => undefined), 20);
    await first.finally(() => clearInterval(again));
    await world.root.request('DELETE', `/v1/tokens/${id}`);
    await report([drop('red', 1, { reason: 'loopback' })]);
    const seen: unknown[] = [];
    await expect(
      (async () => {
        for (let next = await watch.next(); !next.done; next = await watch.next()) seen.push(next.value);
      })(),
    ).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(JSON.stringify(seen)).not.toContain('loopback');
    await expect(red.request('GET', '/v1/drops')).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('are told by a node for itself only, and whose they are is decided by the tag', async () => {
    const c = world.using(nodeClient(await world.join('c' as NodeName, 3)));
    await expect(report([drop('red', 1)], c)).rejects.toMatchObject({ code: 'refused' });
    await expect(report([drop('red', 1)], await speaker('red'))).rejects.toMatchObject({ code: 'refused' });
    await expect(report([drop('red', 1)], await world.asRole('operator'))).rejects.toMatchObject({
      code: 'refused',
    });
    await report([drop('red', 2), drop('nobody', 9), drop('blue', 2, { node: 'c' as NodeName })]);
    expect(await world.root.request('GET', '/v1/drops')).toMatchObject({
      items: [
        { tenant: null, node: 'b' },
        { tenant: null, node: 'b' },
        { tenant: 'blue', node: 'b' },
      ],
    });
  });

  it('are kept for every tenant, however much there is of another one', async () => {
    await report([drop('blue', 2)]);
    for (let i = 0; i < 5; i++) await report(Array.from({ length: 200 }, () => drop('red', 1)));
    expect(await listed(world.root, '?tenant=blue')).toEqual(['blue']);
    expect(await listed(world.root, '?tenant=red&limit=1000')).toHaveLength(200);
  });

  it('are refused in a batch that is too large, or that says what no program says', async () => {
    const many = Array.from({ length: 201 }, () => drop('red', 1));
    for (const events of [many, [drop('red', -1)], [drop('red', 1, { reason: 'x'.repeat(200) })]])
      await expect(report(events)).rejects.toMatchObject({ code: 'invalid_request' });
  });
});

describe('a tenant’s token', () => {
  it('shows the tenant itself, and opens nothing else', async () => {
    const red = await speaker('red');
    expect(await red.request('GET', '/v1/tenants/red')).toMatchObject({ tenant: 'red', tag: 1 });
    for (const [method, where, body] of [
      ['GET', '/v1/tenants/blue'],
      ['GET', '/v1/tenants/nobody'],
      ['GET', '/v1/tenants'],
      ['DELETE', '/v1/tenants/red'],
      ['POST', '/v1/tenants', { tenant: 'x' }],
      ['GET', '/v1/status'],
      ['GET', '/metrics'],
      ['GET', '/v1/openapi.json'],
      ['GET', '/v1/cluster'],
      ['GET', '/v1/keys'],
      ['GET', '/v1/nodes'],
      ['GET', '/v1/namespaces'],
      ['GET', '/v1/tokens'],
      ['POST', '/v1/tokens', { role: 'tenant', tenant: 'red' }],
      ['GET', '/v1/audit'],
      ['POST', '/v1/probes', { node: 'b', tenant: 'red', ttlSeconds: 60 }],
    ] as const) {
      await expect(red.request(method, where, body)).rejects.toMatchObject({ code: 'refused' });
    }
  });

  it('needs a tenant, which no other token has', async () => {
    for (const [body, code] of [
      [{ role: 'tenant' }, 'invalid_request'],
      [{ role: 'operator', tenant: 'red' }, 'invalid_request'],
      [{ role: 'tenant', tenant: 'nobody' }, 'not_found'],
    ] as const) {
      await expect(world.root.request('POST', '/v1/tokens', body)).rejects.toMatchObject({ code });
    }
    await tokenOf('red');
    expect(await world.root.request('GET', '/v1/tokens')).toMatchObject({
      items: expect.arrayContaining([expect.objectContaining({ role: 'tenant', tenant: 'red' })]),
    });
  });

  it('ends with its tenant, and does not open the next one of that name', async () => {
    const { token } = await tokenOf('red');
    await world.root.request('DELETE', '/v1/tenants/red');
    await world.root.request('POST', '/v1/tenants', { tenant: 'red' });
    const { fingerprint, id, secret } = parseToken(token);
    const red = world.using(serverClient({ address: world.address, fingerprint, token: `${id}.${secret}` }));
    await expect(red.request('GET', '/v1/drops')).rejects.toMatchObject({ code: 'unauthenticated' });
  });
});
