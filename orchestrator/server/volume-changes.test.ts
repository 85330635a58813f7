/** Volumes at the server: grown, limited, let into nodes, deleted, had back. */
import { GIB } from '../../test/support/storage-node.ts';
import { HOUR, refusal, until } from '../../test/support/switch-world.ts';
import { volumesForEachTest } from '../../test/support/volume-world.ts';

const volumes = volumesForEachTest(['a', 'b', 'c']);
const { world, create, ask, show, list, node, audit, tenantToken } = volumes;

const WAIT = '?waitMs=5000';
const resize = (id: string, body: object): ReturnType<typeof ask> =>
  ask('POST', `/${id}/resize${WAIT}`, body);
const remove = (id: string, now = ''): ReturnType<typeof ask> => ask('DELETE', `/${id}${WAIT}${now}`);

describe('growing a volume', () => {
  it('is answered when all its bricks have grown', async () => {
    const { volume } = await create();
    const grown = await resize(volume.id, { sizeBytes: 20 * GIB, inodes: null });
    expect(grown).toMatchObject({ settled: true, volume: { sizeBytes: 20 * GIB, generation: 2 } });
    const data = grown.volume.bricks.filter(({ role }) => role === 'data');
    expect(data.map(({ bytes }) => bytes)).toEqual([10 * GIB, 10 * GIB, 10 * GIB, 10 * GIB]);
    await until(async () => (await audit()).at(-1)?.reason === 'all its bricks have grown');
    // Twice the same is no change.
    expect((await resize(volume.id, { sizeBytes: 20 * GIB })).volume.generation).toBe(2);
  });

  it('is refused downwards, beyond the pool, beyond the quota, and while one is under way', async () => {
    const { volume } = await create({ inodes: 10_000 });
    const attempts: [object, string, string][] = [
      [{ sizeBytes: 5 * GIB }, 'refused', 'does not shrink'],
      [{ sizeBytes: 0 }, 'invalid_request', 'at least 1 GiB'],
      [{ sizeBytes: 10 * GIB, inodes: 9_999 }, 'refused', 'may hold 10000 files'],
      [{ sizeBytes: 900 * GIB }, 'refused', 'does not have the room'],
      [{}, 'invalid_request', 'sizeBytes'],
    ];
    for (const [wish, code, said] of attempts)
      await expect(resize(volume.id, wish)).rejects.toMatchObject(refusal(code, said));
    await world.root.request('PUT', '/v1/plans/blue', {
      tenant: 'blue',
      volumes: { count: 1, bytes: 15 * GIB },
    });
    await expect(resize(volume.id, { sizeBytes: 16 * GIB })).rejects.toMatchObject(
      refusal('refused', 'may have 15 GiB'),
    );
    expect((await resize(volume.id, { sizeBytes: 15 * GIB })).volume.sizeBytes).toBe(15 * GIB);
    node('b').idle = true;
    await world.root.request('DELETE', '/v1/plans/blue');
    expect(await ask('POST', `/${volume.id}/resize`, { sizeBytes: 16 * GIB })).toMatchObject({
      settled: false,
    });
    await expect(resize(volume.id, { sizeBytes: 17 * GIB })).rejects.toMatchObject(
      refusal('conflict', 'still being grown'),
    );
    node('b').idle = false;
    await volumes.pass(0);
    await until(async () => (await show(volume.id)).settled);
    node('b').silent = true;
    await volumes.pass(4_000);
    await expect(resize(volume.id, { sizeBytes: 17 * GIB })).rejects.toMatchObject(
      refusal('not_ready', 'node b, which holds a brick'),
    );
  });

  it('goes back to what it was when a brick cannot; those that have grown keep what they have', async () => {
    const { volume } = await create({ layout: 'replica-3' });
    node('b').brickFails = 'no space left on device';
    await expect(resize(volume.id, { sizeBytes: 20 * GIB })).rejects.toMatchObject(
      refusal('storage_failed', 'is as it was: brick'),
    );
    node('b').brickFails = undefined;
    await volumes.pass(0);
    await until(async () => (await show(volume.id)).settled);
    const after = await show(volume.id);
    expect(after.volume.sizeBytes).toBe(10 * GIB);
    expect(after.volume.bricks.map((brick) => [brick.node, brick.bytes / GIB]).sort()).toEqual([
      ['a', 20],
      ['b', 10],
      ['c', 20],
    ]);
    expect(after.warnings).toContainEqual(expect.stringContaining('no space left on device'));
    const again = await resize(volume.id, { sizeBytes: 20 * GIB });
    expect(again.volume.bricks.map(({ bytes }) => bytes / GIB)).toEqual([20, 20, 20]);
    expect(again.warnings).toEqual([]);
  });
});

describe('limits of a volume', () => {
  it('are replaced by name; the rest stays, and null is unlimited', async () => {
    const { volume } = await create({ limits: { 'volume.read': 1e6, 'volume.write': 2e6 } });
    const change = { limits: { 'volume.read': null }, nodeLimits: { 'volume.writeOps': 500 } };
    const limited = await ask('PUT', `/${volume.id}/limits${WAIT}`, change);
    expect(limited).toMatchObject({
      settled: true,
      // Gluster has no part in it.
      volume: {
        generation: 1,
        limits: { 'volume.read': null, 'volume.write': 2e6 },
        nodeLimits: { 'volume.writeOps': 500 },
      },
    });
    await expect(ask('PUT', `/${volume.id}/limits`, { limits: { cpu: 1 } })).rejects.toMatchObject(
      refusal('invalid_request', 'is no limit of a volume'),
    );
  });
});

describe('hosts of a volume', () => {
  it('are let in when they ask, once, and are out when they are fenced or gone', async () => {
    const { volume } = await create();
    const a = volumes.clientOf('a');
    const hosted = await ask('POST', `/${volume.id}/hosts${WAIT}`, { node: 'a' }, a);
    expect(hosted).toMatchObject({ settled: true, volume: { hosts: ['a'], generation: 2 } });
    expect((await ask('POST', `/${volume.id}/hosts${WAIT}`, { node: 'a' }, a)).volume.generation).toBe(2);
    await ask('POST', `/${volume.id}/hosts`, { node: 'b' }, volumes.clientOf('b'));
    await world.root.request('PUT', '/v1/nodes/a/fence', {});
    await until(async () => (await show(volume.id)).volume.hosts.join() === 'b');
    await expect(ask('POST', `/${volume.id}/hosts`, { node: 'a' })).rejects.toMatchObject(
      refusal('refused', 'shut out'),
    );
    expect((await show(volume.id)).volume.coordinator).not.toBe('a');
    await node('b').stop();
    await world.root.request('DELETE', '/v1/nodes/b');
    await until(async () => (await show(volume.id)).volume.hosts.length === 0);
    await expect(ask('POST', `/${volume.id}/hosts`, { node: 'b' })).rejects.toMatchObject(
      refusal('not_found'),
    );
  });

  it('ask again when they have had it mounted no longer for ten minutes; who still has it is let in', async () => {
    const { volume } = await create();
    await volumes.pass(HOUR);
    for (const name of ['a', 'b'])
      await ask('POST', `/${volume.id}/hosts`, { node: name }, volumes.clientOf(name));
    node('b').mount(volume.id, 'web-1');
    await volumes.pass(599_000);
    expect((await show(volume.id)).volume.hosts).toEqual(['a', 'b']);
    await volumes.pass(2_000);
    await until(async () => (await show(volume.id)).volume.hosts.join() === 'b');
    node('c').mount(volume.id, 'web-2');
    await volumes.pass(0);
    await until(async () => (await show(volume.id)).volume.hosts.join() === 'b,c');
    await until(async () => (await show(volume.id)).settled);
  });

  it('stay on the list when they come back after a long silence: they may not have found their mounts yet', async () => {
    const { volume } = await create();
    await ask('POST', `/${volume.id}/hosts`, { node: 'a' }, volumes.clientOf('a'));
    const one = node('a').mount(volume.id, 'web-1');
    await volumes.pass(0);
    node('a').silent = true;
    await volumes.pass(HOUR);
    // It has not found its mounts again yet.
    node('a').silent = false;
    node('a').mounts = [];
    await volumes.pass(0);
    // Which takes looks at all volumes.
    await create({ name: 'other' });
    expect((await show(volume.id)).volume.hosts).toEqual(['a']);
    node('a').mounts = [one];
    await volumes.pass(0);
    expect((await show(volume.id)).volume.hosts).toEqual(['a']);
  });

  it('are not let into what is deleted', async () => {
    const { volume } = await create();
    await remove(volume.id);
    const asked = ask('POST', `/${volume.id}/hosts`, { node: 'a' }, volumes.clientOf('a'));
    await expect(asked).rejects.toMatchObject(refusal('conflict', 'is deleted'));
  });
});

describe('deleting a volume', () => {
  it('keeps its data for a while, in which it can be had back', async () => {
    const { volume } = await create();
    const deleted = await remove(volume.id);
    expect(deleted).toMatchObject({
      settled: true,
      volume: { phase: 'deleted', removeAt: world.now + 24 * HOUR },
      report: { state: 'stopped' },
      warnings: [expect.stringContaining('its data is kept until')],
    });
    expect(await list()).toEqual([]);
    expect((await list('?all=1')).map((one) => one.volume.id)).toEqual([volume.id]);
    await expect(remove(volume.id)).rejects.toMatchObject(refusal('conflict', 'its data is kept until'));
    await expect(resize(volume.id, { sizeBytes: 11 * GIB })).rejects.toMatchObject(refusal('conflict'));
    const back = await ask('POST', `/${volume.id}/undelete${WAIT}`);
    expect(back).toMatchObject({ settled: true, volume: { phase: 'ready', removeAt: null } });
    await expect(ask('POST', `/${volume.id}/undelete`)).rejects.toMatchObject(
      refusal('conflict', 'is not deleted'),
    );
  });

  it('takes it away when that while is over', async () => {
    const { volume } = await create();
    await remove(volume.id);
    await volumes.pass(24 * HOUR - 1);
    expect((await show(volume.id)).volume.phase).toBe('deleted');
    await volumes.pass(1);
    await until(async () => (await list('?all=1')).length === 0);
    for (const name of ['a', 'b', 'c']) expect(node(name).bricks).toEqual([]);
    await expect(ask('POST', `/${volume.id}/undelete`)).rejects.toMatchObject(refusal('not_found'));
  });

  it('takes it away at once where that is wanted, and where nothing is kept by policy', async () => {
    const { volume } = await create();
    expect(await remove(volume.id, '&now=1')).toMatchObject({ settled: true, volume: { phase: 'removing' } });
    expect(await list('?all=1')).toEqual([]);
    await volumes.restart({ volumes: { keepDeletedMs: 0, overcommit: 2 } });
    const second = await create();
    await remove(second.volume.id);
    expect(await list('?all=1')).toEqual([]);
  });

  it('is refused while it is mounted, naming nodes and containers', async () => {
    const { volume } = await create();
    await ask('POST', `/${volume.id}/hosts`, { node: 'b' }, volumes.clientOf('b'));
    node('b').mount(volume.id, 'web-1');
    node('b').mount(volume.id, 'web-2');
    await volumes.pass(0);
    expect((await show(volume.id)).mounts).toMatchObject([
      { node: 'b', at: world.now, mount: { container: 'web-1' } },
      { node: 'b', mount: { container: 'web-2' } },
    ]);
    for (const now of ['', '&now=1'])
      await expect(remove(volume.id, now)).rejects.toMatchObject(
        refusal('conflict', 'is in use: container web-1 on node b, container web-2 on node b'),
      );
    // A server that was started anew does not know what a silent node has.
    node('b').silent = true;
    await volumes.restart();
    await expect(remove(volume.id)).rejects.toMatchObject(refusal('not_ready', 'node b may have it mounted'));
    node('b').silent = false;
    node('b').mounts = [];
    await volumes.pass(0);
    expect((await remove(volume.id)).volume.phase).toBe('deleted');
  });

  it('does not wait for a node that died with a mount and was shut out', async () => {
    const { volume } = await create();
    await ask('POST', `/${volume.id}/hosts`, { node: 'b' }, volumes.clientOf('b'));
    node('b').mount(volume.id, 'web-1');
    await volumes.pass(0);
    await node('b').stop();
    node('b').silent = true;
    await volumes.pass(30_000);
    await expect(remove(volume.id)).rejects.toMatchObject(refusal('conflict', 'web-1 on node b'));
    await world.root.request('PUT', '/v1/nodes/b/fence', {});
    expect((await remove(volume.id)).volume.phase).toBe('deleted');
  });

  it('gives up one that is still being made, and ends with nothing of it', async () => {
    node('c').idle = true;
    const { volume } = await ask('POST', '', { tenant: 'blue', name: 'shared', sizeBytes: GIB });
    expect(volume.phase).toBe('creating');
    await expect(resize(volume.id, { sizeBytes: 2 * GIB })).rejects.toMatchObject(
      refusal('conflict', 'is being made'),
    );
    node('c').idle = false;
    await remove(volume.id);
    expect(await list('?all=1')).toEqual([]);
    for (const name of ['a', 'b', 'c']) expect(node(name).bricks).toEqual([]);
  });

  it('must come before its tenant is deleted', async () => {
    const { volume } = await create();
    const forget = (): Promise<unknown> => world.root.request('DELETE', '/v1/tenants/blue');
    await expect(forget()).rejects.toMatchObject(refusal('conflict', 'has volumes: shared'));
    await remove(volume.id);
    await expect(forget()).rejects.toMatchObject(refusal('conflict', 'shared (deleted)'));
    const blue = await tenantToken('blue');
    await ask('DELETE', `/shared${WAIT}&now=1`, undefined, blue);
    await forget();
  });
});
