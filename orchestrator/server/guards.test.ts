/** Guard rules at the server: who may set them, what is refused, and how nodes hear of them. */
import { ClusterLine, foldLine, type NodeView } from '../../model/cluster-changes.ts';
import { never, serverForEachTest } from '../../test/server-world.ts';

const world = serverForEachTest();

beforeEach(async () => {
  for (const tenant of ['blue', 'red']) await world.root.request('POST', '/v1/tenants', { tenant });
});

const put = (tenant: string, rules: object = {}): Promise<unknown> =>
  world.root.request('PUT', `/v1/guards/${tenant}`, { tenant, ...rules });

describe('guard rules', () => {
  it('are set, listed, shown and forgotten, with a line in the audit log each', async () => {
    await put('blue', {
      rules: [{ name: 'web', match: { protocol: 'tls' }, verdict: 'allow' }],
      default: 'deny',
    });
    expect(await world.root.request('GET', '/v1/guards/blue')).toMatchObject({ default: 'deny', egress: [] });
    expect(await world.root.request('GET', '/v1/guards')).toMatchObject({ items: [{ tenant: 'blue' }] });
    await world.root.request('DELETE', '/v1/guards/blue');
    await expect(world.root.request('GET', '/v1/guards/blue')).rejects.toMatchObject({ code: 'not_found' });
    const { items } = (await world.root.request('GET', '/v1/audit')) as { items: { operation: string }[] };
    expect(items.slice(-2).map(({ operation }) => operation)).toEqual(['guard.apply', 'guard.delete']);
  });

  it('are set by operators, and by nobody with less', async () => {
    const operator = await world.asRole('operator');
    await operator.request('PUT', '/v1/guards/blue', { tenant: 'blue' });
    const joining = await world.asRole('node');
    await expect(joining.request('GET', '/v1/guards')).rejects.toMatchObject({ code: 'refused' });
    await expect(joining.request('PUT', '/v1/guards/blue', { tenant: 'blue' })).rejects.toMatchObject({
      code: 'refused',
    });
  });

  it('are refused for nobody, for another, with unknown keys, and with an address that is taken', async () => {
    await expect(put('green')).rejects.toMatchObject({ code: 'not_found' });
    await expect(put('blue', { tenant: 'red' })).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(put('blue', { rule: [] })).rejects.toMatchObject({
      code: 'invalid_request',
      message: expect.stringContaining('rule'),
    });
    await put('blue', { egress: [{ node: 'a', address: '203.0.113.7' }] });
    await expect(
      put('red', { egress: [{ node: 'a', address: '203.0.113.1-203.0.113.9' }] }),
    ).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('blue'),
    });
    const twice = [
      { node: 'a', address: '203.0.113.20' },
      { node: 'b', address: '203.0.113.20' },
    ];
    await expect(put('red', { egress: twice })).rejects.toMatchObject({ code: 'conflict' });
  });

  it('reach whoever follows the cluster, and go with their tenant', async () => {
    await put('blue');
    let view: NodeView | undefined;
    const lines = world.root.stream('/v1/cluster?watch=1', never)[Symbol.asyncIterator]();
    const next = async (): Promise<string[]> => {
      view = foldLine(view, ClusterLine.parse((await lines.next()).value));
      return [...(view?.guards.keys() ?? [])];
    };
    expect(await next()).toEqual(['blue']);
    await put('red');
    expect(await next()).toEqual(['blue', 'red']);
    await world.root.request('DELETE', '/v1/tenants/blue');
    const both = [await next(), await next()];
    expect(both.at(-1)).toEqual(['red']);
  });
});
