/** Volumes at the server: how they are made, and what becomes of those that cannot be. */
import { GIB } from '../../test/support/storage-node.ts';
import { refusal, until } from '../../test/support/switch-world.ts';
import { volumesForEachTest, WISH, type WishWords } from '../../test/support/volume-world.ts';

const volumes = volumesForEachTest(['a', 'b', 'c', 'd']);
const { world, create, ask, show, list, node, audit, tenantToken } = volumes;

const phases = async (): Promise<string[]> => (await list('?all=1')).map(({ volume }) => volume.phase);
const quota = (plan: object): Promise<unknown> =>
  world.root.request('PUT', '/v1/plans/blue', { tenant: 'blue', ...plan });

describe('making a volume', () => {
  it('is answered when it can be mounted', async () => {
    const made = await create();
    expect(made).toMatchObject({
      reachable: true,
      settled: true,
      volume: { ...WISH, phase: 'ready', layout: 'two-by-two', generation: 1, hosts: [] },
      report: { state: 'started' },
      warnings: [],
    });
    expect(made.volume.id).toMatch(/^v[0-9a-f]{12}$/);
    const set = ['data', 'data', 'arbiter'];
    expect(made.volume.bricks.map(({ role }) => role)).toEqual([...set, ...set]);
    expect(made.bricks.map(({ node: at, brick, online }) => [at, brick?.state, online])).toEqual(
      made.volume.bricks.map((brick) => [brick.node, 'ready', true]),
    );
    expect((await list()).map(({ volume }) => volume.id)).toEqual([made.volume.id]);
    expect(await show('shared?tenant=blue')).toMatchObject({ volume: { id: made.volume.id } });
    expect((await audit()).filter(({ operation }) => operation === 'volume.create')).toMatchObject([
      { who: 'root', subject: `volume shared of tenant blue ${made.volume.id}` },
      { who: 'server', reason: 'it can be mounted' },
    ]);
  });

  it.each<[string, string[], string[]]>([
    ['single', ['data'], ['not redundant']],
    ['two-by-two', ['data', 'data', 'arbiter', 'data', 'data', 'arbiter'], []],
    ['replica-3', ['data', 'data', 'data'], []],
    ['arbiter', ['data', 'data', 'arbiter'], []],
  ])('takes the layout %s, and says when it is not redundant', async (layout, roles, warnings) => {
    const made = await create({ layout: layout as never, sizeBytes: 4 * GIB });
    expect(made.volume.bricks.map(({ role }) => role)).toEqual(roles);
    const data = made.volume.bricks.filter(({ role }) => role === 'data');
    const sets = layout === 'two-by-two' ? 2 : 1;
    expect(new Set(data.map(({ bytes }) => bytes))).toEqual(new Set([(4 * GIB) / sets]));
    expect(made.warnings).toEqual(warnings.map((text) => expect.stringContaining(text)));
  });

  it('is rolled back whole when a brick cannot be made, and says why', async () => {
    node('b').brickFails = 'no space left on device';
    await expect(create()).rejects.toMatchObject(
      refusal('storage_failed', 'on node b: no space left on device'),
    );
    await until(async () => (await phases()).length === 0);
    for (const name of ['a', 'b', 'c', 'd']) expect(node(name).bricks).toEqual([]);
    node('b').brickFails = undefined;
    expect((await create()).volume.phase).toBe('ready');
  });

  it('is rolled back whole when Gluster cannot, and when nobody says anything for a minute', async () => {
    for (const name of ['a', 'b', 'c', 'd']) node(name).glusterFails = 'peer is rejected';
    const refused = create();
    await expect(refused).rejects.toMatchObject(refusal('storage_failed', 'peer is rejected'));
    expect(await phases()).toEqual(['removing']);
    for (const name of ['a', 'b', 'c', 'd']) node(name).glusterFails = undefined;
    await volumes.pass(1_000);
    await until(async () => (await phases()).length === 0);

    node('c').idle = true;
    const made = await ask('POST', '', WISH);
    expect(made).toMatchObject({ settled: false, volume: { phase: 'creating' } });
    await volumes.pass(59_000);
    expect(await phases()).toEqual(['creating']);
    const late = ask('GET', `/${made.volume.id}?waitMs=5000`);
    await volumes.pass(2_000);
    await expect(late).rejects.toMatchObject(refusal('storage_failed', 'on node c missing'));
    await until(async () => (await phases()).length === 0);
  });

  it('does not forget a volume before a node that was down has said that nothing of it is left', async () => {
    node('d').brickFails = 'the disk is gone';
    node('b').silent = true;
    await expect(create()).rejects.toMatchObject(refusal('storage_failed'));
    await volumes.pass(30_000);
    expect(await phases()).toEqual(['removing']);
    node('b').silent = false;
    await volumes.pass(0);
    await until(async () => (await phases()).length === 0);
  });

  it.each<[string, WishWords, string, string]>([
    ['size 0', { sizeBytes: 0 }, 'invalid_request', 'at least 1 GiB'],
    ['1 byte', { sizeBytes: 1 }, 'invalid_request', 'at least 1 GiB'],
    ['10 EiB', { sizeBytes: 10 * 2 ** 60 }, 'invalid_request', 'sizeBytes'],
    ['a size that is no number', { sizeBytes: '10GiB' }, 'invalid_request', 'sizeBytes'],
    ['half a byte', { sizeBytes: 2 * GIB + 0.5 }, 'invalid_request', 'sizeBytes'],
    ['more than there is', { sizeBytes: 1_000 * GIB }, 'refused', 'do not have the room'],
    ['an unknown tenant', { tenant: 'green' }, 'not_found', 'no tenant green'],
    ['a name like an id', { name: 'v0123456789ab' }, 'invalid_request', 'looks like the id'],
    ['no files', { inodes: 0 }, 'invalid_request', 'inodes'],
    ['a limit of something else', { limits: { cpu: 1 } }, 'invalid_request', 'is no limit of a volume'],
    ['a limit below zero', { limits: { 'volume.read': -1 } }, 'invalid_request', 'volume.read'],
    ['an unknown layout', { layout: 'raid-5' as never }, 'invalid_request', 'layout'],
  ])('is refused with %s', async (_what, wish, code, said) => {
    await expect(create(wish)).rejects.toMatchObject(refusal(code, said));
    expect(await phases()).toEqual([]);
  });

  it('is refused without a tenant, unless a tenant asks', async () => {
    const { tenant: _, ...wish } = WISH;
    await expect(ask('POST', '', wish)).rejects.toMatchObject(refusal('invalid_request', 'whose'));
    const blue = await tenantToken('blue');
    expect((await ask('POST', '', wish, blue)).volume.tenant).toBe('blue');
  });

  it('is refused with a name that the tenant has already, also when that is deleted and kept', async () => {
    const { volume } = await create();
    await expect(create()).rejects.toMatchObject(refusal('already_exists', 'has a volume shared'));
    await ask('DELETE', `/${volume.id}?waitMs=5000`);
    await expect(create()).rejects.toMatchObject(refusal('already_exists', 'whose data is still kept'));
    await ask('DELETE', `/${volume.id}?now=1&waitMs=5000`);
    const again = await create();
    expect(again.volume.id).not.toBe(volume.id);
    expect((await create({ tenant: 'red' })).volume.name).toBe('shared');
  });

  it('is refused where there are too few storage nodes, and by default makes do with those there are', async () => {
    for (const name of ['c', 'd']) node(name).hasPool = false;
    await volumes.pass(0);
    await expect(create({ layout: 'replica-3' })).rejects.toMatchObject(
      refusal('refused', 'takes 3 storage nodes, and there are 2'),
    );
    const two = await create();
    expect(two.volume.bricks).toHaveLength(4);
    expect(two.warnings).toEqual([expect.stringContaining('no arbiters')]);
    node('b').hasPool = false;
    await volumes.pass(0);
    const one = await create({ name: 'alone' });
    expect(one.volume.layout).toBe('single');
    node('a').hasPool = false;
    await volumes.pass(0);
    await expect(create({ name: 'none' })).rejects.toMatchObject(
      refusal('not_ready', 'no storage node can be reached'),
    );
  });

  it('goes by promises: reserved ones take their room at once, thin ones as often as the policy says', async () => {
    for (const name of ['a', 'b', 'c', 'd']) node(name).totalBytes = 10 * GIB;
    await volumes.pass(0);
    await create({ sizeBytes: 12 * GIB });
    await expect(create({ name: 'second', sizeBytes: 12 * GIB })).rejects.toMatchObject(
      refusal('refused', 'b has 4 GiB, d has 4 GiB, a has 3.3 GiB, c has 3.3 GiB'),
    );
    const thin = await create({ name: 'thin', sizeBytes: 12 * GIB, thin: true });
    expect(thin.warnings).toEqual(
      expect.arrayContaining([expect.stringMatching(/^the pool of node \w has promised 1\d\d %/)]),
    );
    const blue = await tenantToken('blue');
    expect((await show(thin.volume.id, blue)).warnings).toEqual([]);
    // What others have in the pool is none of a tenant's business, nor where storage nodes listen.
    const refused = create({ name: 'third', sizeBytes: 12 * GIB }, blue);
    await expect(refused).rejects.toMatchObject({ message: expect.not.stringContaining(' has ') });
    expect((await show(thin.volume.id, blue)).volume.bricks[0]!.address).toBe('0.0.0.0');
  });

  it('keeps to the tenant’s quota of volumes and of bytes, deleted ones included as long as they are kept', async () => {
    await quota({ volumes: { count: 2, bytes: 25 * GIB } });
    const { volume } = await create();
    await expect(create({ name: 'large', sizeBytes: 16 * GIB })).rejects.toMatchObject(
      refusal('refused', 'may have 25 GiB of volumes; with 16 GiB more it would have 26 GiB'),
    );
    await create({ name: 'second' });
    await expect(create({ name: 'third', sizeBytes: GIB })).rejects.toMatchObject(
      refusal('refused', 'may have 2 volumes, and has 2'),
    );
    await ask('DELETE', `/${volume.id}?waitMs=5000`);
    await expect(create({ name: 'third' })).rejects.toMatchObject(
      refusal('refused', '1 of them deleted ones whose data is still kept'),
    );
    await ask('DELETE', `/${volume.id}?now=1&waitMs=5000`);
    expect((await create({ name: 'third' })).volume.phase).toBe('ready');
    expect((await create({ tenant: 'red' })).volume.phase).toBe('ready');
  });

  it('keeps a tenant to the bandwidth of its plan, and an operator to nothing', async () => {
    await quota({ container: { 'volume.read': 20e6 } });
    const blue = await tenantToken('blue');
    for (const value of [20_000_001, null])
      await expect(create({ limits: { 'volume.read': value } }, blue)).rejects.toMatchObject(
        refusal('refused', 'volume.read of tenant blue is at most 20MB/s'),
      );
    const { volume } = await create({ limits: { 'volume.read': 5e6, 'volume.writeOps': 100 } }, blue);
    expect(volume.limits).toEqual({ 'volume.read': 5e6, 'volume.writeOps': 100 });
    const more = { limits: { 'volume.read': 30e6 } };
    await expect(ask('PUT', `/${volume.id}/limits`, more, blue)).rejects.toMatchObject(refusal('refused'));
    expect((await ask('PUT', `/${volume.id}/limits`, more)).volume.limits).toEqual({
      'volume.read': 30e6,
      'volume.writeOps': 100,
    });
  });
});

describe('what is told of volumes', () => {
  it('comes in pages, of a tenant where that is wanted, without the deleted ones', async () => {
    const ids: string[] = [];
    for (const name of ['one', 'two', 'three', 'four', 'five'])
      ids.push((await create({ name, sizeBytes: GIB })).volume.id);
    await create({ name: 'other', tenant: 'red' });
    await ask('DELETE', `/${ids[0]}?waitMs=5000`);
    for (const limit of [1, 2, 4, 5, 100]) {
      const seen: string[] = [];
      let after: string | null = null;
      do {
        const query: string = `?tenant=blue&all=1&limit=${limit}${after === null ? '' : `&after=${after}`}`;
        const page = (await world.root.request('GET', `/v1/volumes${query}`)) as {
          items: { volume: { id: string } }[];
          next: string | null;
        };
        expect(page.items.length).toBeLessThanOrEqual(limit);
        seen.push(...page.items.map(({ volume }) => volume.id));
        after = page.next;
      } while (after !== null);
      expect(seen).toEqual([...ids].sort());
    }
    expect((await list()).map(({ volume }) => volume.phase)).toEqual(new Array(5).fill('ready'));
    expect((await list('?tenant=red')).map(({ volume }) => volume.name)).toEqual(['other']);
  });

  it('warns of what is full, down, healing, in split-brain, or silent', async () => {
    const { volume } = await create();
    const coordinator = node(volume.coordinator);
    const fill = { totalBytes: 100, freeBytes: 9, totalInodes: 100, freeInodes: 5 };
    coordinator.more = {
      fill,
      online: [true, false, true, true, true, true],
      heal: { pending: 3, splitBrain: 1 },
    };
    await volumes.pass(0);
    const down = volume.bricks[1]!.node;
    const { warnings, bricks } = await show(volume.id);
    expect(bricks[1]!.online).toBe(false);
    expect(warnings).toEqual([
      `brick 1 on node ${down} is down`,
      expect.stringContaining('91 % full'),
      expect.stringContaining('95 % of the files'),
      expect.stringContaining('3 files have copies that are catching up'),
      expect.stringContaining('1 file is in split-brain'),
    ]);
    const metrics = await world.metrics();
    const labels = `{tenant="blue",volume="${volume.id}",name="shared"}`;
    expect(metrics).toContain('sluice_volumes{phase="ready"} 1');
    for (const line of ['used_bytes', 'bricks_down', 'heal_pending', 'split_brain'])
      expect(metrics).toContain(
        `sluice_volume_${line}${labels} ${{ used_bytes: 91, heal_pending: 3 }[line] ?? 1}`,
      );
    expect(metrics).toContain(`sluice_server_pool_bytes{node="a",what="total"} ${100 * GIB}`);

    coordinator.more = {};
    const other = volume.bricks.find((brick) => brick.node !== volume.coordinator)!.node;
    node(other).silent = true;
    await volumes.pass(4_000);
    expect((await show(volume.id)).warnings).toContainEqual(
      expect.stringMatching(`^brick \\d on node ${other} is down`),
    );
  });

  it('tells a tenant what failed, and not where storage nodes listen and keep things', async () => {
    const blue = await tenantToken('blue');
    const { volume } = await create();
    const failure = 'gluster volume create 192.0.2.1:/srv/pool/brick: Staging failed on 192.0.2.2';
    const told = 'gluster volume create a storage node:…: Staging failed on a storage node';
    node(volume.coordinator).more = { why: failure };
    const event = { at: world.now, volume: volume.id, what: 'client-replaced' as const, text: failure };
    await node(volume.coordinator).report({ events: [event] });
    for (const name of ['a', 'b', 'c', 'd']) node(name).brickFails = failure;
    const refused = await create({ name: 'other' }, blue).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'storage_failed', message: expect.stringContaining(told) });
    await ask('POST', `/${volume.id}/resize`, { sizeBytes: 11 * GIB });
    await volumes.pass(0);
    const shown = await show(volume.id, blue);
    expect(JSON.stringify(shown)).not.toMatch(/192\.0\.2|srv/);
    expect([shown.report?.why, shown.events[0]?.text]).toEqual([told, told]);
    expect(JSON.stringify(await list('?all=1', blue))).not.toMatch(/192\.0\.2|srv/);
    const seen = await show(volume.id);
    expect([seen.report?.why, seen.events[0]?.text]).toEqual([failure, failure]);
  });

  it('has what befell it, told once, by those who have to do with it', async () => {
    const { volume } = await create({ layout: 'single' });
    const at = world.now;
    const event = { at, volume: volume.id, what: 'brick-down' as const, text: 'brick 0 does not serve' };
    const owner = node(volume.bricks[0]!.node);
    const stranger = node(['a', 'b'].find((name) => name !== owner.node)!);
    await owner.report({ events: [event] });
    await owner.report({ events: [event] });
    await owner.report({ events: [{ ...event, volume: null, what: 'pool-near-full', text: 'full' }] });
    await stranger.report({ events: [{ ...event, text: 'made up' }] });
    expect((await show(volume.id)).events.map(({ text }) => text)).toEqual([
      'brick 0 does not serve',
      'full',
    ]);
    const blue = await tenantToken('blue');
    expect((await show(volume.id, blue)).events).toEqual([event]);
    const many = Array.from({ length: 100 }, (_, i) => ({ ...event, at: at + i, text: `event ${i}` }));
    await owner.report({ events: many });
    const { events } = await show(volume.id);
    expect([events.length, events.at(-1)?.text]).toEqual([64, 'event 99']);
  });
});
