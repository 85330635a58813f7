/** `sluice switch` as people type it: real commands, a real server, and a node that reports what the algebra says. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { registerNode } from '../../linux/join.ts';
import { isoOf } from '../../model/iso-time.ts';
import type { NodeName } from '../../model/names.ts';
import type { SwitchListed, SwitchPlanned, SwitchShown } from '../../model/switch-request.ts';
import { serverForEachTest, uplink } from '../../test/server-world.ts';
import { ReportingNode } from '../../test/support/reporting-node.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const world = serverForEachTest();
let node: ReportingNode;

beforeEach(async () => {
  for (const tenant of ['shop', 'batch']) await world.root.request('POST', '/v1/tenants', { tenant });
  await world.root.request('PUT', '/v1/plans/batch', { tenant: 'batch', priority: -1 });
  await registerNode(world.root, 'a' as NodeName, uplink(1), {});
  node = new ReportingNode(world.root, 'a', () => world.now, [
    { tenant: 'shop', name: 'cart-1', app: 'cart', limits: { cpu: 0.5, 'net.external.out': 10e6 } },
    { tenant: 'shop', name: 'cart-2', app: 'cart', limits: { cpu: 0.5, 'net.external.out': 10e6 } },
    { tenant: 'batch', name: 'work-1', app: 'work', limits: { cpu: 2 }, labels: { tier: 'low' } },
  ]);
  await node.follow();
});

afterEach(async () => {
  await node.stop();
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Nobody can be asked: there is no terminal. */
function sluice(...words: readonly string[]): Promise<Ran> {
  const env = { ...process.env, SLUICE_RUN_DIR: path.join(world.directory, 'run') };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, 'switch', ...words], { env, timeout: 20_000 }, (error, out, err) => {
      const code = error === null ? 0 : Number((error as { code?: unknown }).code ?? -1);
      resolve({ code, out, err });
    });
  });
}

/** On a terminal, where somebody answers. */
function sluiceAnswered(answer: string, ...words: readonly string[]): Promise<Ran> {
  const env = { ...process.env, SLUICE_RUN_DIR: path.join(world.directory, 'run') };
  const line = [process.execPath, MAIN, 'switch', ...words].map((word) => `'${word}'`).join(' ');
  return new Promise((resolve) => {
    const child = execFile(
      'script',
      ['-qec', line, '/dev/null'],
      { env, timeout: 20_000 },
      (error, out, err) => {
        const code = error === null ? 0 : Number((error as { code?: unknown }).code ?? -1);
        resolve({ code, out, err });
      },
    );
    child.stdout?.on('data', (text: string) => {
      if (text.includes('[y/N]')) child.stdin?.end(`${answer}\n`);
    });
  });
}

async function sluiceJson<T>(...words: readonly string[]): Promise<T> {
  const { code, out, err } = await sluice(...words, '--json');
  if (code !== 0) throw new Error(`it ended with ${code}: ${out}${err}`);
  return JSON.parse(out) as T;
}

const CART = ['--select', 'tenant=shop,app=cart'] as const;
const SALE = ['--reason', 'sale', '--for', '1h'] as const;

describe('a switch from the command line', () => {
  it('shows each field before it is opened, and then what has become of it', async () => {
    const { code, out } = await sluice('open', ...CART, ...SALE, '--lift', 'net.external', '--set', 'cpu=1');
    expect(code).toBe(0);
    expect(out).toMatch(/a +shop +cart-1 +cpu +0\.5 +0\.5 +1 +-/);
    expect(out).toMatch(/a +shop +cart-2 +net\.external\.out +10Mbit +10Mbit +unlimited +-/);
    expect(out).toMatch(/opened by root at \S+: sale\nopen; closes at /);
    expect(out).toMatch(/2 applied\n/);
    expect(out).toMatch(/a +shop +cart-1 +applied/);
  });

  it('is planned, opened, listed, shown, extended, closed, and remembered', async () => {
    const plan = await sluiceJson<SwitchPlanned>(
      'plan',
      ...CART,
      '--set',
      'cpu=1',
      '--for',
      '1h',
      '--percent',
      '100',
    );
    expect(plan.refusal).toBeNull();
    const words = [
      ...CART,
      ...SALE,
      '--set',
      'cpu=1',
      '--name',
      'peak',
      '--priority',
      '-7',
      '--id',
      plan.switch.id,
    ];
    const opened = await sluiceJson<SwitchShown>('open', ...words);
    expect(opened).toMatchObject({
      phase: 'open',
      settled: true,
      switch: { id: plan.switch.id, name: 'peak', priority: -7 },
    });
    const { id, until } = opened.switch;
    expect(await sluiceJson<SwitchListed[]>('list')).toMatchObject([{ id, phase: 'open' }]);
    expect(await sluiceJson<SwitchShown>('show', 'peak')).toMatchObject({ switch: { id } });

    const longer = await sluiceJson<SwitchShown>('extend', 'peak', '--by', '30m', '--reason', 'goes on');
    expect(longer.switch.until).toBe(until + 1_800_000);
    const shorter = await sluiceJson<SwitchShown>('extend', id, '--until', isoOf(until), '--reason', 'no');
    expect(shorter.switch.until).toBe(Math.floor(until / 1_000) * 1_000);

    expect(await sluiceJson('close', id, '--dry-run')).toMatchObject({
      dryRun: true,
      would: `close switch ${id}`,
    });
    expect(await sluiceJson<SwitchShown>('close', id)).toMatchObject({ phase: 'closed' });
    expect(await sluiceJson('list')).toEqual([]);
    expect(await sluiceJson<SwitchListed[]>('history')).toMatchObject([{ id, phase: 'closed' }]);
    const { out } = await sluice('history', id);
    expect(out).toMatch(/root {2}switch\.open {2}'sale'\n/);
    expect(out).toMatch(/a\/shop\/cart-1\/eth0 +cpu +0\.5 +1\n/);
    expect(out).toMatch(/switch\.close {2}'closed by hand'\n/);
    expect(out).toMatch(/a\/shop\/cart-1\/eth0 +cpu +1 +0\.5\n/);
  }, 30_000);

  it('that nobody has said how long, why, what or for whom is refused', async () => {
    const refused = async (...words: string[]) => {
      const { code, err } = await sluice('open', ...words);
      expect(code).toBe(2);
      return err;
    };
    expect(await refused(...CART, '--for', '1h', '--lift', 'cpu')).toMatch(/reason/);
    expect(await refused(...SALE, '--lift', 'cpu')).toMatch(/select/);
    expect(await refused(...CART, ...SALE)).toMatch(/what to change.*\n.*--lift/s);
    expect(await refused(...CART, '--reason', 'x', '--lift', 'cpu')).toMatch(/when it ends/);
    expect(await refused(...CART, ...SALE, '--set', 'memory=2G')).toMatch(/memory: "2G".*\n.*2GiB/s);
    expect(await refused(...CART, ...SALE, '--lift', 'cpu', '--percent', 'x')).toMatch(
      /--percent is no number/,
    );
  }, 30_000);

  it('that chooses nothing exits with 4, and one that chooses everything wants to hear it', async () => {
    const nobody = await sluice('open', '--select', 'tenant=shop,app=pay', ...SALE, '--lift', 'net.external');
    expect(nobody).toMatchObject({ code: 4, err: expect.stringMatching(/chooses no container/) });
    const all = ['--select', 'all', ...SALE, '--lift', 'net.external'];
    expect(await sluice('open', ...all)).toMatchObject({
      ...{ code: 3, err: expect.stringMatching(/every container of the cluster, all 3.*\n.*say --yes/s) },
    });
    expect(await sluiceJson('list')).toEqual([]);
    expect(await sluiceJson<SwitchShown>('open', ...all, '--yes')).toMatchObject({ effects: { length: 3 } });
    expect(await sluice('close', '--all', 'peak')).toMatchObject({ code: 2 });
    expect(await sluice('close')).toMatchObject({ code: 2 });
    expect(await sluice('close', '--all', '--yes')).toMatchObject({ code: 0, out: '1 switch is closed\n' });
    expect(await sluice('close', '--all', '--yes')).toMatchObject({
      code: 0,
      out: '0 switches are closed\n',
    });
    expect(await sluice('show', 'peak')).toMatchObject({ code: 4 });
  }, 30_000);

  it('that chooses everything asks on a terminal, and goes by the answer', async () => {
    const all = ['--select', 'all', ...SALE, '--lift', 'net.external'];
    const no = await sluiceAnswered('n', 'open', ...all);
    expect(no).toMatchObject({
      code: 3,
      out: expect.stringMatching(/every container of the cluster, all 3 of them\? /),
    });
    expect(await sluiceJson('list')).toEqual([]);
    expect(await sluiceAnswered('y', 'open', ...all)).toMatchObject({ code: 0 });
    expect(await sluiceJson('list')).toHaveLength(1);
  }, 30_000);

  it('that nodes have nothing for exits with 3, unless it is forced, or others make room', async () => {
    const much = [...CART, ...SALE, '--set', 'cpu=1.5'];
    const plan = await sluice('plan', ...much);
    expect(plan.code).toBe(3);
    expect(plan.out).toMatch(/node a has 4 cores, and 5 would be promised/);
    const opened = await sluice('open', ...much);
    expect(opened).toMatchObject({ code: 3, err: expect.stringMatching(/--squeeze.*--force/s) });
    const dry = await sluice('open', ...much, '--squeeze', '--dry-run');
    expect(dry).toMatchObject({
      code: 0,
      out: expect.stringMatching(/room is made by sw-\w+ for tenant=batch,node=a: cpu × 0\.5/),
    });
    expect(await sluiceJson('list')).toEqual([]);
    const squeezed = await sluiceJson<SwitchShown>('open', ...much, '--squeeze');
    expect(squeezed.squeezes).toHaveLength(1);
    await sluice('close', '--all', '--yes');
    expect(await sluiceJson<SwitchShown>('open', ...much, '--force')).toMatchObject({ squeezes: [] });
  }, 30_000);
});
