/** `sluice volume` as people type it: real commands, and daemons that answer what each test decides. */
import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { SluiceError } from '../../model/errors.ts';
import type { VolumeShown } from '../../model/volume-request.ts';
import { type Answer, FakeApi } from '../../test/support/fake-api.ts';
import {
  AT,
  GIB,
  NO_FLOW,
  sampleMount,
  sampleShown,
  sampleVolume,
} from '../../test/support/sample-volume.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const ID = 'v0123456789ab';
const PAGE = (items: readonly unknown[]): object => ({ items, next: null });

let directory = '';
let server: FakeApi;
let storaged: FakeApi;

beforeEach(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-volume-'));
  [server, storaged] = [new FakeApi(() => undefined), new FakeApi(() => undefined)];
  await server.listen(path.join(directory, 'server.sock'));
  await storaged.listen(path.join(directory, 'storaged.sock'));
});

afterEach(async () => {
  await server.close();
  await storaged.close();
  fs.rmSync(directory, { recursive: true });
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const environment = (): NodeJS.ProcessEnv => ({ ...process.env, SLUICE_RUN_DIR: directory });

/** Nobody can be asked: there is no terminal. */
function sluice(...words: readonly string[]): Promise<Ran> {
  const options = { env: environment(), timeout: 20_000 };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, 'volume', ...words], options, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number((error as { code?: unknown }).code ?? -1), out, err });
    });
  });
}

/** On a terminal, where somebody answers. */
function sluiceAnswered(answer: string, ...words: readonly string[]): Promise<Ran> {
  const line = [process.execPath, MAIN, 'volume', ...words].map((word) => `'${word}'`).join(' ');
  const options = { env: environment(), timeout: 20_000 };
  return new Promise((resolve) => {
    const child = execFile('script', ['-qec', line, '/dev/null'], options, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number((error as { code?: unknown }).code ?? -1), out, err });
    });
    child.stdout?.on('data', (text: string) => {
      if (text.includes('[y/N]')) child.stdin?.end(`${answer}\n`);
    });
  });
}

/** What the server knows: one volume, shown as it is at each look. The last look is for ever. */
function lookingAt(...looks: readonly VolumeShown[]): Answer {
  let at = 0;
  return ({ method, path: asked }) => {
    const look = looks[Math.min(at, looks.length - 1)];
    if (method === 'GET' && asked.startsWith('/v1/volumes?')) return PAGE([look]);
    if (method === 'GET' && asked.startsWith(`/v1/volumes/${ID}`)) at += 1;
    return look;
  };
}

const halfMade = sampleShown(
  {
    bricks: sampleShown().bricks.map((one, index) => (index < 2 ? one : { ...one, brick: null })),
    ...{ report: null, settled: false },
  },
  sampleVolume({ phase: 'creating' }),
);

describe('a volume from the command line', () => {
  it('is asked for in numbers, and waited for', async () => {
    server.answer = lookingAt(halfMade, halfMade, sampleShown());
    const { code, out } = await sluice(
      ...['create', 'shared', '--tenant', 'shop', '--size', '10GiB', '--layout', 'two-by-two'],
      ...['--limit', 'read=20MB/s', '--limit', 'writeOps=500', '--node-limit', 'write=unlimited'],
    );
    expect(code).toBe(0);
    expect(out).toMatch(/^volume {2}shared \(v0123456789ab\) of tenant shop\nstate {3}ready$/m);
    expect(server.asked[0]).toEqual({
      ...{ method: 'POST', path: '/v1/volumes?waitMs=500' },
      body: {
        ...{ tenant: 'shop', name: 'shared', sizeBytes: 10 * GIB, thin: false, layout: 'two-by-two' },
        limits: { 'volume.read': 20e6, 'volume.writeOps': 500 },
        nodeLimits: { 'volume.write': null },
      },
    });
  });

  it('shows on a terminal how far it is', async () => {
    server.answer = lookingAt(halfMade, halfMade, sampleShown());
    const { code, out } = await sluiceAnswered('', 'create', 'shared', '--size', '10GiB');
    expect({ code, out }).toMatchObject({ code: 0, out: expect.stringMatching(/2 of 4 bricks are there …/) });
  });

  it('that cannot be made says why, and exits with 1', async () => {
    const failed = { ...halfMade.bricks[3]?.brick, why: 'the pool has no room' };
    const brick = { ...sampleShown().bricks[3]?.brick, ...failed, state: 'failed' };
    const bricks = [...halfMade.bricks.slice(0, 3), { node: 'b', brick, online: null }];
    const removing = sampleVolume({ phase: 'removing' });
    server.answer = lookingAt(halfMade, sampleShown({ bricks, report: null }, removing));
    const { code, err } = await sluice('create', 'shared', '--size', '10GiB');
    expect({ code, err }).toMatchObject({
      ...{ code: 1, err: expect.stringMatching(/could not be made; nothing.*\n.*b: the pool has no room/) },
    });
  });

  it('that is gone before it was there could not be made either', async () => {
    server.answer = ({ method }) => {
      if (method === 'POST') return halfMade;
      throw new SluiceError('not_found', 'there is no such volume', '');
    };
    expect(await sluice('create', 'shared', '--size', '10GiB')).toMatchObject({
      ...{ code: 1, err: expect.stringMatching(/could not be made/) },
    });
  });

  it('that takes too long exits with 5 and goes on', async () => {
    server.answer = lookingAt(halfMade);
    expect(await sluice('create', 'shared', '--size', '10GiB', '--timeout', '0.3')).toMatchObject({
      ...{ code: 5, err: expect.stringMatching(/2 of 4 bricks are there\n.*it goes on/) },
    });
    const asked = await sluice('create', 'shared', '--size', '10GiB', '--no-wait', '--json');
    expect(asked.code).toBe(0);
    expect(JSON.parse(asked.out)).toMatchObject({ volume: { phase: 'creating' } });
  });

  it('is refused before anybody is asked where what is said could mean two things', async () => {
    const refused = async (...words: string[]): Promise<string> => {
      const { code, err } = await sluice(...words);
      expect(code).toBe(2);
      return err;
    };
    expect(await refused('create', 'shared', '--size', '10G')).toMatch(/--size.*not clear.*\n.*10GiB/s);
    expect(await refused('create', 'shared')).toMatch(/size/);
    expect(await refused('limit', 'shared')).toMatch(/no limit is named/);
    expect(await refused('limit', 'shared', 'cpu=1')).toMatch(/no limit "cpu"/);
    expect(await refused('mount', 'shared', '--container', 'c1', '--at', '/data')).toMatch(/go together/);
    expect(await refused('mount', 'shared', '--container', 'c1', '--at', '/../etc', '--pid', '7')).toMatch(
      /must not contain/,
    );
    expect(await refused('unmount', 'shared')).toMatch(/which container/);
    expect(server.asked).toEqual([]);
    expect(storaged.asked).toEqual([]);
  }, 30_000);

  it('is named by its id, or by its name where only one tenant has it', async () => {
    const red = sampleShown({}, sampleVolume({ tenant: 'red', id: 'v0123456789ac' }));
    server.answer = ({ path: asked }) => (asked.includes('?') ? PAGE([sampleShown(), red]) : sampleShown());
    expect(await sluice('show', 'shared')).toMatchObject({
      ...{ code: 1, err: expect.stringMatching(/--tenant shop, --tenant red/) },
    });
    expect(await sluice('show', ID)).toMatchObject({ code: 0 });
    expect(await sluice('show', 'other')).toMatchObject({ code: 4 });
    await sluice('show', 'shared', '--tenant', 'shop');
    expect(server.asked.at(-1)?.path).toContain('tenant=shop');
  }, 30_000);

  it('grows and is limited, and each is settled when the command ends', async () => {
    const unsettled = sampleShown({ settled: false });
    server.answer = lookingAt(unsettled, unsettled, sampleShown());
    expect(await sluice('resize', 'shared', '--size', '20GiB')).toMatchObject({ code: 0 });
    const changes = server.asked.filter(({ method }) => method !== 'GET');
    expect(changes).toEqual([
      { method: 'POST', path: `/v1/volumes/${ID}/resize?waitMs=500`, body: { sizeBytes: 20 * GIB } },
    ]);
    server.answer = lookingAt(sampleShown());
    const limits = ['read=20MB/s', 'writeOps=unlimited'];
    expect(await sluice('limit', 'shared', ...limits)).toMatchObject({ code: 0 });
    expect(await sluice('limit', 'shared', '--node', 'write=1GB/s')).toMatchObject({ code: 0 });
    expect(server.asked.filter(({ method }) => method === 'PUT').map(({ body }) => body)).toEqual([
      { limits: { 'volume.read': 20e6, 'volume.writeOps': null } },
      { nodeLimits: { 'volume.write': 1e9 } },
    ]);
  }, 30_000);

  it('that could not grow says so, though it is settled as it was', async () => {
    const wanted = sampleShown({ settled: false }, sampleVolume({ sizeBytes: 20 * GIB }));
    const refused = sampleShown({ warnings: ['node b: the pool has no room'] });
    server.answer = ({ method, path: asked }) => {
      if (method === 'GET' && asked.startsWith('/v1/volumes?')) return PAGE([refused]);
      return method === 'POST' ? wanted : refused;
    };
    expect(await sluice('resize', 'shared', '--size', '20GiB')).toMatchObject({
      ...{ code: 1, err: expect.stringMatching(/could not be grown.*as it was\n.*no room/) },
    });
  });

  it('is deleted after a question, and says until when it can be had back', async () => {
    const deleted = sampleShown({}, sampleVolume({ phase: 'deleted', removeAt: AT }));
    server.answer = ({ method }) => (method === 'GET' ? PAGE([sampleShown()]) : deleted);
    expect(await sluiceAnswered('n', 'delete', 'shared', '--now')).toMatchObject({
      ...{ code: 3, out: expect.stringMatching(/tenant shop with all its data, at once and for good\? /) },
    });
    expect(server.asked.every(({ method }) => method === 'GET')).toBe(true);
    expect(await sluice('delete', 'shared')).toMatchObject({
      ...{ code: 0, out: expect.stringMatching(/kept until 2030-01-31T12:00:00Z\n.*undelete/) },
    });
    await sluice('delete', 'shared', '--now', '--yes');
    expect(server.asked.filter(({ method }) => method === 'DELETE').map((one) => one.path)).toEqual([
      ...[`/v1/volumes/${ID}`, `/v1/volumes/${ID}?now=1`],
    ]);
    server.answer = lookingAt(sampleShown());
    expect(await sluice('undelete', 'shared')).toMatchObject({ code: 0 });
    expect(server.asked.at(-1)).toMatchObject({
      method: 'POST',
      path: `/v1/volumes/${ID}/undelete?waitMs=500`,
    });
  }, 30_000);

  it('is changed by no command with --dry-run', async () => {
    server.answer = ({ method }) => (method === 'GET' ? PAGE([sampleShown()]) : undefined);
    const commands = [
      ...[
        ['create', 'x', '--size', '1GiB'],
        ['resize', 'shared', '--size', '20GiB'],
      ],
      ...[
        ['limit', 'shared', 'read=1MB/s'],
        ['delete', 'shared', '--now'],
        ['undelete', 'shared'],
        ['move', 'shared', '--from', 'b', '--to', 'd'],
      ],
      ...[
        ['mount', 'shared', '--container', 'c1'],
        ['unmount', 'm0123456789ab'],
      ],
      ['recover', 'shared', '--to', '/srv/rescue'],
    ];
    for (const words of commands) {
      const { code, out } = await sluice(...words, '--dry-run', '--json');
      expect({ words, code, ...JSON.parse(out) }).toMatchObject({
        ...{ words, code: 0, dryRun: true, would: expect.any(String), request: { path: expect.any(String) } },
      });
    }
    expect(server.asked.every(({ method }) => method === 'GET')).toBe(true);
    expect(storaged.asked).toEqual([]);
  }, 30_000);
});

describe('what mounts do, from the command line', () => {
  const shownAt = (at: number, bytes: number): VolumeShown => {
    const write = { ...NO_FLOW, ops: bytes / 1e6, bytes, latency: [bytes / 1e6] };
    const statistics = { limits: {}, read: NO_FLOW, write, metadata: NO_FLOW };
    return sampleShown({ mounts: [{ node: 'a', at: AT + at, mount: sampleMount({ statistics }) }] });
  };

  it('is known after two reports of their nodes', async () => {
    server.answer = lookingAt(shownAt(0, 0), shownAt(0, 0), shownAt(1_000, 20e6));
    expect(await sluice('stats', ID)).toMatchObject({
      ...{ code: 0, out: expect.stringMatching(/^a +c0ffee012345 .* 20\.0 MB\/s +20 +1 µs +1 µs/m) },
    });
  });

  it('is a line whenever something is new, until it is interrupted', async () => {
    const begun = performance.now();
    server.answer = ({ path: asked }) => {
      const report = Math.floor((performance.now() - begun) / 500);
      const look = shownAt(report * 1_000, report * 20e6);
      return asked.startsWith('/v1/volumes?') ? PAGE([look]) : look;
    };
    const child = spawn(process.execPath, [MAIN, 'volume', 'stats', 'shared', '-f', '--json'], {
      env: environment(),
    });
    const lines: { mounts: { at: number; rates: { write: { bytesPerSecond: number } } }[] }[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      if (lines.push(JSON.parse(line)) === 3) child.kill('SIGINT');
    }
    expect(child.exitCode ?? (await new Promise((resolve) => child.once('exit', resolve)))).toBe(0);
    const times = lines.map(({ mounts }) => mounts[0]!.at);
    expect(new Set(times).size).toBe(lines.length);
    for (const { mounts } of lines) expect(mounts[0]!.rates.write.bytesPerSecond).toBe(20e6);
  }, 30_000);
});

describe('a mount from the command line', () => {
  const mounted = { id: 'm0123456789ab', hostPath: '/run/sluice/mounts/m0123456789ab' };

  beforeEach(() => {
    server.answer = lookingAt(sampleShown());
  });

  it('prints the directory to bind, and nothing else', async () => {
    storaged.answer = () => mounted;
    expect(await sluice('mount', 'shared', '--container', 'c1')).toMatchObject({
      ...{ code: 0, out: `${mounted.hostPath}\n`, err: '' },
    });
    expect(storaged.asked).toEqual([
      {
        ...{ method: 'PUT', path: '/v1/mounts' },
        body: {
          ...{ volume: ID, container: 'c1', subDirectory: null, readOnly: false, limits: {}, into: null },
        },
      },
    ]);
  });

  it('goes into a running container, with all that is said of it', async () => {
    storaged.answer = () => mounted;
    const words = ['--at', '/data', '--pid', '4711', '--sub-directory', '/up', '--read-only'];
    const { code, out } = await sluice(
      ...['mount', 'shared', '--container', 'c1', ...words, '--limit', 'read=1MB/s'],
    );
    expect({ code, out }).toEqual({ code: 0, out: 'mounted at /data\n' });
    expect(storaged.asked[0]?.body).toEqual({
      ...{ volume: ID, container: 'c1', subDirectory: '/up', readOnly: true },
      ...{ limits: { 'volume.read': 1e6 }, into: { pid: 4711, directory: '/data' } },
    });
  });

  it('ends by volume and container, or by its id', async () => {
    storaged.answer = ({ method }) =>
      method === 'GET' ? { mounts: [{ id: mounted.id, volume: ID, container: 'c1' }] } : {};
    expect(await sluice('unmount', 'shared', '--container', 'c1')).toMatchObject({ code: 0 });
    expect(await sluice('unmount', mounted.id)).toMatchObject({ code: 0 });
    const ended = storaged.asked.filter(({ method }) => method === 'DELETE').map((one) => one.path);
    expect(ended).toEqual(Array(2).fill(`/v1/mounts/${mounted.id}`));
    expect(await sluice('unmount', 'shared', '--container', 'c2')).toMatchObject({ code: 4 });
  }, 30_000);

  it('of which a container has several is ended by its id alone', async () => {
    const one = (id: string, directory: string | null): object => ({
      id,
      directory,
      volume: ID,
      container: 'c1',
    });
    const mounts = [one('m00000000000a', '/data'), one('m00000000000b', null)];
    storaged.answer = ({ method }) => (method === 'GET' ? { mounts } : {});
    const { code, err } = await sluice('unmount', 'shared', '--container', 'c1');
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/m00000000000a at \/data, m00000000000b at .*unmount m00000000000b/s),
    ]);
    expect(storaged.asked.filter(({ method }) => method === 'DELETE')).toEqual([]);
  }, 30_000);

  it('needs the storaged of this node', async () => {
    fs.rmSync(path.join(directory, 'storaged.sock'));
    expect(await sluice('mount', 'shared', '--container', 'c1')).toMatchObject({
      ...{ code: 5, err: expect.stringMatching(/storaged does not answer/) },
    });
  });
});

describe('reading bricks without Gluster, from the command line', () => {
  it('says how far it is, what it has, and what it left out', async () => {
    const refused = [{ path: '/orders.db', why: 'its copies contradict each other' }];
    storaged.answer = () => [
      { progress: { files: 3, bytes: GIB } },
      { recovered: { files: 12, bytes: 3 * GIB, refused } },
    ];
    const { code, out } = await sluice('recover', 'shared', '--to', '/srv/rescue');
    expect(code).toBe(6);
    expect(out).toMatch(/^12 files, 3\.0 GiB, are in \/srv\/rescue\n1 file left out:\n {2}\/orders\.db: /);
    expect(storaged.asked).toEqual([
      { method: 'POST', path: '/v1/recover', body: { volume: 'shared', to: '/srv/rescue' } },
    ]);
    expect(server.asked).toEqual([]);
    storaged.answer = () => [{ recovered: { files: 1, bytes: 1, refused: [] } }];
    expect(await sluice('recover', ID, '--to', 'rescue', '--json')).toMatchObject({ code: 0 });
    expect(storaged.asked.at(-1)?.body).toMatchObject({ to: path.resolve('rescue') });
  });

  it('fails when it ends too early, or is refused', async () => {
    storaged.answer = () => [{ progress: { files: 3, bytes: GIB } }];
    expect(await sluice('recover', 'shared', '--to', '/srv/rescue')).toMatchObject({ code: 1 });
    storaged.answer = () => {
      throw new SluiceError('refused', '/srv/rescue is not empty', 'name another directory');
    };
    expect(await sluice('recover', 'shared', '--to', '/srv/rescue')).toMatchObject({
      ...{ code: 3, err: expect.stringMatching(/not empty/) },
    });
  });
});
