/** Volumes whose nodes or whose server die: what was begun comes to its end, and no half of it remains. */
import { HOUR, until } from '../../test/support/switch-world.ts';
import { volumesForEachTest, WISH } from '../../test/support/volume-world.ts';

const volumes = volumesForEachTest(['a', 'b', 'c']);
const { world, create, ask, show, list, node } = volumes;

const WAIT = '?waitMs=5000';
const nothingLeft = async (): Promise<void> => {
  await until(async () => (await list('?all=1')).length === 0);
  for (const name of ['a', 'b', 'c']) expect(node(name).bricks).toEqual([]);
};

describe('a coordinator that is silent', () => {
  it('is replaced by another node that has a brick, which is told so by the generation', async () => {
    const { volume } = await create();
    const former = volume.coordinator;
    node(former).silent = true;
    await volumes.pass(4_000);
    expect(await show(volume.id)).toMatchObject({ reachable: false, volume: { coordinator: former } });
    await volumes.pass(6_000);
    await until(async () => (await show(volume.id)).volume.coordinator !== former);
    await until(async () => (await show(volume.id)).settled);
    const after = await show(volume.id);
    expect(after).toMatchObject({ reachable: true, volume: { generation: 2, phase: 'ready' } });
    expect(volume.bricks.map((brick) => brick.node)).toContain(after.volume.coordinator);
    node(former).silent = false;
    await volumes.pass(0);
    expect((await show(volume.id)).volume.coordinator).toBe(after.volume.coordinator);
  });

  it('before the volume was made: another makes it', async () => {
    for (const name of ['a', 'b', 'c']) node(name).idle = true;
    const { volume } = await ask('POST', '', WISH);
    const gone = node(volume.coordinator);
    // It has made its bricks, and says nothing any more.
    gone.idle = false;
    await volumes.pass(0);
    gone.silent = true;
    for (const name of ['a', 'b', 'c']) node(name).idle = false;
    await volumes.pass(10_000);
    await until(async () => (await show(volume.id)).volume.phase === 'ready');
    expect((await show(volume.id)).volume).toMatchObject({ generation: 2 });
  });

  it('while the volume is removed: another sees to it, and the record waits for the first', async () => {
    const { volume } = await create();
    const gone = node(volume.coordinator);
    gone.silent = true;
    await ask('DELETE', `/${volume.id}?now=1`);
    await volumes.pass(10_000);
    await until(async () => (await show(volume.id)).volume.coordinator !== gone.node);
    await volumes.pass(HOUR);
    expect((await show(volume.id)).volume.phase).toBe('removing');
    gone.silent = false;
    await volumes.pass(0);
    await nothingLeft();
  });

  it('is not waited for once it was taken out of the cluster', async () => {
    const { volume } = await create();
    const gone = node(volume.coordinator);
    await gone.stop();
    gone.silent = true;
    await ask('DELETE', `/${volume.id}?now=1`);
    await world.root.request('DELETE', `/v1/nodes/${gone.node}`);
    await until(async () => (await list('?all=1')).length === 0);
  });

  it('stays where there is no other', async () => {
    const { volume } = await create({ layout: 'single' });
    node(volume.coordinator).silent = true;
    await volumes.pass(HOUR);
    await volumes.restart();
    await volumes.pass(HOUR);
    expect((await show(volume.id)).volume).toMatchObject({ coordinator: volume.coordinator, generation: 1 });
    node(volume.coordinator).silent = false;
    await volumes.pass(0);
    expect(await show(volume.id)).toMatchObject({ reachable: true, settled: true });
  });
});

describe('a node that is to make a brick and is dead', () => {
  it('is not waited for longer than 20 s, and has nothing of the volume when it is back', async () => {
    node('b').silent = true;
    const { volume } = await ask('POST', '', WISH);
    const asked = ask('GET', `/${volume.id}?waitMs=5000`);
    await volumes.pass(20_000);
    await expect(asked).rejects.toMatchObject({
      code: 'storage_failed',
      message: expect.stringMatching('node b, which was to make a brick, has not been heard of for 2\\d s'),
    });
    await volumes.pass(HOUR);
    expect((await show(volume.id)).volume.phase).toBe('removing');
    node('b').silent = false;
    await volumes.pass(0);
    await nothingLeft();
  });
});

describe('a server that is started anew', () => {
  it('goes on with a volume that was being made', async () => {
    for (const name of ['a', 'b', 'c']) node(name).idle = true;
    const { volume } = await ask('POST', '', WISH);
    await volumes.restart();
    expect((await show(volume.id)).volume.phase).toBe('creating');
    for (const name of ['a', 'b', 'c']) node(name).idle = false;
    await volumes.pass(0);
    await until(async () => (await show(volume.id)).settled);
    expect((await show(volume.id)).volume).toMatchObject({ phase: 'ready', generation: 1 });
  });

  it('takes one back whose minute is over', async () => {
    node('b').silent = true;
    const { volume } = await ask('POST', '', WISH);
    await world.server.close();
    world.now += HOUR;
    await volumes.restart();
    await until(async () => (await list('?all=1')).every((one) => one.volume.phase === 'removing'));
    expect((await show(volume.id)).warnings).toContainEqual(expect.stringContaining('is being removed'));
    node('b').silent = false;
    await volumes.pass(0);
    await nothingLeft();
  });

  it('goes back with one that could not be grown', async () => {
    const { volume } = await create();
    for (const name of ['a', 'b', 'c']) node(name).idle = true;
    await ask('POST', `/${volume.id}/resize`, { sizeBytes: 2 * WISH.sizeBytes });
    await volumes.restart();
    node('b').brickFails = 'no space left on device';
    for (const name of ['a', 'b', 'c']) node(name).idle = false;
    await volumes.pass(0);
    await until(async () => (await show(volume.id)).volume.sizeBytes === WISH.sizeBytes);
    await until(async () => (await show(volume.id)).settled);
  });

  it('goes on with one that is removed, and ends one whose time was over meanwhile', async () => {
    const [one, two] = [await create(), await create({ name: 'second' })];
    await ask('DELETE', `/${two.volume.id}${WAIT}`);
    node('b').idle = true;
    await ask('DELETE', `/${one.volume.id}?now=1`);
    await world.server.close();
    world.now += 25 * HOUR;
    await volumes.restart();
    await until(async () => (await list('?all=1')).every(({ volume }) => volume.phase === 'removing'));
    expect(await list('?all=1')).toHaveLength(2);
    node('b').idle = false;
    await volumes.pass(0);
    await nothingLeft();
  });

  it('knows nothing of nodes until they have reported, and says so', async () => {
    const { volume } = await create();
    for (const name of ['a', 'b', 'c']) node(name).silent = true;
    await volumes.restart();
    expect(await show(volume.id)).toMatchObject({
      reachable: false,
      settled: false,
      report: null,
      warnings: [expect.stringContaining('is silent')],
    });
    await expect(create({ name: 'second' })).rejects.toMatchObject({ code: 'not_ready' });
    for (const name of ['a', 'b', 'c']) node(name).silent = false;
    await volumes.pass(0);
    expect(await show(volume.id)).toMatchObject({ reachable: true, settled: true, warnings: [] });
  });

  it('does not take a cluster of many storage nodes for one of few: it waits for their words', async () => {
    for (const name of ['b', 'c']) node(name).silent = true;
    await volumes.restart();
    const asked = create();
    for (const name of ['b', 'c']) node(name).silent = false;
    await volumes.pass(0);
    expect((await asked).volume).toMatchObject({ layout: 'two-by-two', phase: 'ready' });
    expect((await asked).volume.bricks).toHaveLength(6);
  });
});
