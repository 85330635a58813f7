/** Plans, defaults and reports at the server: who may, what is refused, and how nodes hear of them. */
import type { ApiClient } from '../../linux/api-client.ts';
import { nodeClient, operatorClient, registerNode } from '../../linux/join.ts';
import { ClusterLine, foldLine, type NodeView } from '../../model/cluster-changes.ts';
import type { NodeName, TenantName } from '../../model/names.ts';
import { type CreatedToken, never, serverForEachTest, uplink } from '../../test/server-world.ts';
import { ReportingNode } from '../../test/support/reporting-node.ts';

const world = serverForEachTest();
const B = 'b' as NodeName;

beforeEach(async () => {
  for (const tenant of ['blue', 'red']) await world.root.request('POST', '/v1/tenants', { tenant });
});

const put = (plan: object, as: ApiClient = world.root): Promise<unknown> =>
  as.request('PUT', '/v1/plans/blue', { tenant: 'blue', ...plan });
const tenantToken = async (tenant: string): Promise<ApiClient> => {
  const { token } = (await world.root.request('POST', '/v1/tokens', {
    role: 'tenant',
    tenant,
  })) as CreatedToken;
  return world.using(operatorClient(world.address, token));
};

describe('plans and defaults', () => {
  it('are set, shown, listed and forgotten, and the audit log tells what they were', async () => {
    expect(await world.root.request('GET', '/v1/plans/blue')).toMatchObject({ container: {}, priority: 0 });
    const plan = {
      container: { cpu: 1, memory: 2 ** 28 },
      share: { 'tenant.net.external.out': 1e9 },
      borrow: true,
    };
    await put(plan);
    expect(await world.root.request('GET', '/v1/plans/blue')).toMatchObject(plan);
    expect(await world.root.request('GET', '/v1/plans')).toMatchObject({
      items: [{ tenant: 'blue', borrow: true }],
    });
    await world.root.request('DELETE', '/v1/plans/blue');
    expect(await world.root.request('GET', '/v1/plans')).toMatchObject({ items: [] });
    const { items } = (await world.root.request('GET', '/v1/audit')) as { items: object[] };
    expect(items.slice(-2)).toMatchObject([
      { operation: 'plan.set', before: null, after: plan },
      { operation: 'plan.delete', before: plan, after: null },
    ]);
    // Details are found for just the entries of the page that is asked for.
    const { items: last } = (await world.root.request('GET', '/v1/audit?after=000000000003&limit=1')) as {
      items: object[];
    };
    expect(last).toMatchObject([{ number: 4, before: plan }]);
  });

  it('are refused with values that fit no field, for nobody and for another', async () => {
    for (const plan of [
      { container: { cpu: -1 } },
      { container: { cpu: '1' } },
      { container: { speed: 1 } },
      { container: { 'tenant.net.external.out': 1e9 } },
      { share: { 'net.external.out': 1e9 } },
      { priority: 1_001 },
      { tenant: 'red' },
      { weight: 1 },
    ])
      await expect(put(plan)).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(world.root.request('PUT', '/v1/plans/green', { tenant: 'green' })).rejects.toMatchObject({
      code: 'not_found',
    });
    await expect(world.root.request('PUT', '/v1/limits/default', { meaning: 'bytes' })).rejects.toMatchObject(
      { code: 'invalid_request' },
    );
  });

  it('reach whoever follows the cluster, and a plan goes with its tenant', async () => {
    let view: NodeView | undefined;
    const lines = world.root.stream('/v1/cluster?watch=1', never)[Symbol.asyncIterator]();
    const next = async (): Promise<NodeView> => {
      view = foldLine(view, ClusterLine.parse((await lines.next()).value));
      return view!;
    };
    expect((await next()).defaults).toEqual({ container: {}, meaning: 'wire' });
    await put({ container: { pids: 100 } });
    expect((await next()).plans.get('blue' as TenantName)?.container).toEqual({ pids: 100 });
    await world.root.request('PUT', '/v1/limits/default', { container: { cpu: 2 }, meaning: 'goodput' });
    expect((await next()).defaults).toEqual({ container: { cpu: 2 }, meaning: 'goodput' });
    await world.root.request('DELETE', '/v1/tenants/blue');
    await next();
    expect((await next()).plans.size).toBe(0);
    await lines.return?.();
  });

  it('are set by operators, and a tenant sees its own plan only', async () => {
    await put({ container: { cpu: 1 } }, await world.asRole('operator'));
    const blue = await tenantToken('blue');
    expect(await blue.request('GET', '/v1/plans/blue')).toMatchObject({ container: { cpu: 1 } });
    for (const ask of [
      () => put({}, blue),
      () => blue.request('GET', '/v1/plans/red'),
      () => blue.request('GET', '/v1/plans'),
      () => blue.request('GET', '/v1/limits/default'),
      () => blue.request('DELETE', '/v1/plans/blue'),
    ])
      await expect(ask()).rejects.toMatchObject({ code: 'refused' });
  });
});

describe('what nodes report', () => {
  let b: ReportingNode;
  let client: ApiClient;
  const listed = async (as: ApiClient, query = ''): Promise<unknown[]> =>
    ((await as.request('GET', `/v1/limits${query}`)) as { items: unknown[] }).items;

  beforeEach(async () => {
    client = world.using(nodeClient(await world.join(B, 2)));
    b = new ReportingNode(client, B, () => world.now, [
      { tenant: 'blue', name: 'web', limits: { cpu: 1 } },
      { tenant: 'red', name: 'batch', limits: { cpu: 2 } },
    ]);
  });

  it('is shown to operators, page by page, and to a tenant as far as it is its own', async () => {
    await b.report();
    expect(await listed(world.root)).toMatchObject([
      { subject: { tenant: 'red', instance: 'batch' }, effective: { cpu: 2 }, reachable: true },
      { subject: { tenant: 'blue', instance: 'web' }, effective: { cpu: 1 } },
    ]);
    const first = (await world.root.request('GET', '/v1/limits?limit=1')) as {
      next: string;
      items: unknown[];
    };
    expect(first).toMatchObject({ items: [{ subject: { instance: 'batch' } }] });
    expect(await listed(world.root, `?limit=1&after=${encodeURIComponent(first.next)}`)).toMatchObject([
      { subject: { instance: 'web' } },
    ]);
    expect(await listed(world.root, '?tenant=blue&node=b')).toHaveLength(1);
    expect(await listed(world.root, '?node=a')).toEqual([]);
    const blue = await tenantToken('blue');
    const own = await blue.request('GET', '/v1/limits');
    expect(own).toMatchObject({
      items: [{ subject: { instance: 'web' } }],
      shares: [{ tenant: 'blue', node: 'b' }],
    });
    expect(JSON.stringify(own)).not.toContain('red');
    await expect(listed(blue, '?tenant=red')).rejects.toMatchObject({ code: 'refused' });
  });

  it('is folded: news, those that are gone, and all anew after the server has started again', async () => {
    await b.report();
    await b.report({ whole: false, containers: [], gone: ['web/eth0'], tenants: [] });
    const rest = (await world.root.request('GET', '/v1/limits')) as { items: unknown[]; shares: unknown[] };
    expect(rest).toMatchObject({ items: [{ subject: { instance: 'batch' } }], shares: [{ tenant: 'red' }] });
    expect(b.asked).toBe(0);
    await world.restart();
    await b.report({ whole: false, containers: [], tenants: [] });
    expect(b.asked).toBe(1);
    expect(await listed(world.root)).toHaveLength(2);
  });

  it('is taken from the node itself only, about itself, and forgotten with it', async () => {
    await registerNode(world.root, 'a' as NodeName, uplink(1));
    const c = world.using(nodeClient(await world.join('c' as NodeName, 3)));
    const stranger = (as: ApiClient): ReportingNode => new ReportingNode(as, B, () => world.now, []);
    for (const as of [
      c,
      await world.asRole('operator'),
      await tenantToken('blue'),
      await world.asRole('node'),
    ])
      await expect(stranger(as).report()).rejects.toMatchObject({ code: 'refused' });
    await expect(b.report({ node: 'a' as NodeName })).rejects.toMatchObject({ code: 'refused' });
    const nobody = new ReportingNode(world.root, 'nobody', () => world.now, []);
    await expect(nobody.report()).rejects.toMatchObject({ code: 'not_found' });
    await b.report();
    await world.root.request('DELETE', '/v1/nodes/b');
    expect(await listed(world.root)).toEqual([]);
  });

  it('may be about thousands of containers at once', async () => {
    const limits = { cpu: 1, memory: 2 ** 28, pids: 100 };
    b.containers = Array.from({ length: 3_000 }, (_, i) => ({ tenant: 'blue', name: `web-${i}`, limits }));
    await b.report();
    expect(await listed(world.root, '?limit=1000')).toHaveLength(1_000);
  });
});
