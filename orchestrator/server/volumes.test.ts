/** Volumes at the server: how they are made, and what becomes of those that cannot be. */
import { refusal, until } from '../../test/support/switch-world.ts';
import { volumesForEachTest, WISH } from '../../test/support/volume-world.ts';

const volumes = volumesForEachTest(['a', 'b', 'c', 'd']);
const { create, show, list, node } = volumes;

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
    expect(made.volume.bricks.map(({ role }) => role)).toEqual([
      ...['data', 'data', 'arbiter'],
      ...['data', 'data', 'arbiter'],
    ]);
    expect(made.bricks.map(({ node: at, brick, online }) => [at, brick?.state, online])).toEqual(
      made.volume.bricks.map((brick) => [brick.node, 'ready', true]),
    );
    expect((await list()).map(({ volume }) => volume.id)).toEqual([made.volume.id]);
    expect(await show('shared?tenant=blue')).toMatchObject({ volume: { id: made.volume.id } });
  });

  it('is rolled back whole when a brick cannot be made, and says why', async () => {
    node('b').brickFails = 'no space left on device';
    await expect(create()).rejects.toMatchObject(
      refusal('storage_failed', 'on node b: no space left on device'),
    );
    await until(async () => (await list('?all=1')).length === 0);
    expect(node('a').bricks).toEqual([]);
    node('b').brickFails = undefined;
    expect((await create()).volume.phase).toBe('ready');
  });
});
