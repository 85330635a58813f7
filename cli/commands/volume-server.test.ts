/** `sluice volume` with a real server and storage nodes that do in memory what they are told. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { setInterval } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { VolumeShown } from '../../model/volume-request.ts';
import type { CreatedToken } from '../../test/server-world.ts';
import { volumesForEachTest } from '../../test/support/volume-world.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const volumes = volumesForEachTest(['a', 'b', 'c']);
const { world } = volumes;
const REPORT_EVERY_MS = 1_000;
let stop: () => Promise<void>;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function sluice(words: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<Ran> {
  const env = { ...process.env, SLUICE_RUN_DIR: path.join(world.directory, 'run'), ...more };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...words], { env, timeout: 20_000 }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number((error as { code?: unknown }).code ?? -1), out, err });
    });
  });
}

const volume = (...words: readonly string[]): Promise<Ran> => sluice(['volume', ...words]);

/** As the tenant, from afar. */
async function asTenant(tenant: string): Promise<(...words: readonly string[]) => Promise<Ran>> {
  const asked = { role: 'tenant', tenant };
  const { token } = (await world.root.request('POST', '/v1/tokens', asked)) as CreatedToken;
  const env = { SLUICE_SERVER: world.address, SLUICE_TOKEN: token };
  return (...words) => sluice(['volume', ...words], env);
}

const json = ({ code, out, err }: Ran): VolumeShown => {
  if (code !== 0) throw new Error(`it ended with ${code}: ${out}${err}`);
  return JSON.parse(out) as VolumeShown;
};

describe('a volume from the command line to the nodes', () => {
  /** Commands take their time; a node that says nothing for so long would count as silent. */
  beforeEach(() => {
    const ended = new AbortController();
    const reporting = (async () => {
      for await (const _ of setInterval(REPORT_EVERY_MS, undefined, { signal: ended.signal }))
        await volumes.pass(0);
    })().catch((error: unknown) => {
      if (!ended.signal.aborted) throw error;
    });
    stop = async () => {
      ended.abort();
      await reporting;
    };
  });

  // Here, and not above: nobody reports any more when the server ends.
  afterEach(() => stop());

  it('is made, listed, limited, grown, deleted and had back by an operator', async () => {
    const made = await volume(
      'create',
      'shared',
      '--tenant',
      'blue',
      '--size',
      '10GiB',
      '--limit',
      'read=20MB/s',
    );
    expect(made).toMatchObject({ code: 0, out: expect.stringMatching(/^state {3}ready$/m) });
    expect(made.out).toMatch(/spread over two pairs of copies, each with an arbiter/);
    expect((await volume('list')).out).toMatch(
      /^shared +blue +v\w{12} +10GiB +0\.0 % +two-by-two +0 +ready$/m,
    );

    const limited = json(await volume('limit', 'shared', 'writeOps=500', '--json'));
    expect(limited.volume.limits).toEqual({ 'volume.read': 20e6, 'volume.writeOps': 500 });
    const together = json(await volume('limit', 'shared', '--node', 'write=1GB/s', '--json'));
    expect(together.volume.nodeLimits).toEqual({ 'volume.write': 1e9 });

    const grown = json(await volume('resize', 'shared', '--size', '20GiB', '--json'));
    expect(grown).toMatchObject({ settled: true, volume: { sizeBytes: 20 * 2 ** 30 } });
    expect(await volume('resize', 'shared', '--size', '10GiB')).toMatchObject({ code: expect.any(Number) });

    expect(await volume('delete', 'shared')).toMatchObject({
      ...{ code: 0, out: expect.stringMatching(/kept until .*\n.*undelete v\w{12}/) },
    });
    expect((await volume('list')).out).toMatch(/no volumes/);
    expect((await volume('list', '--all')).out).toMatch(/deleted, kept until/);
    expect(json(await volume('undelete', 'shared', '--json')).volume.phase).toBe('ready');
    expect(await volume('delete', 'shared', '--now', '--yes')).toMatchObject({ code: 0 });
    expect(await volume('show', 'shared')).toMatchObject({ code: 4 });
  }, 30_000);

  it('is a tenant’s own by its token, and nobody else’s', async () => {
    const [blue, red] = [await asTenant('blue'), await asTenant('red')];
    const made = json(await blue('create', 'shared', '--size', '10GiB', '--json'));
    expect(made.volume.tenant).toBe('blue');
    expect((await blue('show', 'shared')).out).not.toContain('192.0.2.');
    const { id } = made.volume;
    for (const word of ['shared', id]) {
      expect(await red('show', word)).toMatchObject({ code: 4 });
      expect(await red('delete', word, '--now', '--yes')).toMatchObject({ code: 4 });
      expect(await red('limit', word, 'read=1MB/s')).toMatchObject({ code: 4 });
    }
    expect((await red('list')).out).toMatch(/no volumes/);
    json(await red('create', 'shared', '--size', '1GiB', '--json'));
    expect(await volume('show', 'shared')).toMatchObject({
      ...{ code: 1, err: expect.stringMatching(/--tenant blue, --tenant red|--tenant red, --tenant blue/) },
    });
    expect(await volume('show', 'shared', '--tenant', 'red')).toMatchObject({ code: 0 });
    expect(await blue('delete', 'shared')).toMatchObject({ code: 0 });
  }, 30_000);

  it('keeps to the quota that an operator has set', async () => {
    const set = ['tenant', 'set', 'blue', '--volumes', '2', '--volume-bytes', '15GiB'];
    expect((await sluice(set)).out).toMatch(/volumes of its own making: 2, 15GiB together/);
    const blue = await asTenant('blue');
    expect(await blue('create', 'one', '--size', '10GiB')).toMatchObject({ code: 0 });
    expect(await blue('create', 'two', '--size', '10GiB')).toMatchObject({
      ...{ code: 3, err: expect.stringMatching(/15/) },
    });
    expect(await blue('create', 'two', '--size', '5GiB')).toMatchObject({ code: 0 });
    expect(await blue('create', 'three', '--size', '1GiB')).toMatchObject({ code: 3 });
  }, 30_000);

  it('that cannot be made, or cannot grow, says which node had what against it', async () => {
    volumes.node('b').brickFails = 'no space left on device';
    expect(await volume('create', 'shared', '--tenant', 'blue', '--size', '10GiB')).toMatchObject({
      ...{ code: 1, err: expect.stringMatching(/no space left on device/) },
    });
    expect((await volume('list', '--all')).out).toMatch(/no volumes/);
    volumes.node('b').brickFails = undefined;
    await volume('create', 'shared', '--tenant', 'blue', '--size', '10GiB');
    volumes.node('b').brickFails = 'no space left on device';
    expect(await volume('resize', 'shared', '--size', '20GiB')).toMatchObject({
      ...{ code: 1, err: expect.stringMatching(/no space left on device/) },
    });
  }, 30_000);

  it('that is mounted is not deleted', async () => {
    const made = json(await volume('create', 'shared', '--tenant', 'blue', '--size', '10GiB', '--json'));
    volumes.node('a').mount(made.volume.id, 'c0ffee');
    await volumes.node('a').report();
    expect((await volume('show', 'shared')).out).toMatch(/^a +c0ffee +\/data/m);
    const { code, err } = await volume('delete', 'shared');
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringMatching(/c0ffee/) });
  }, 30_000);
});
