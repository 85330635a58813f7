/** A server that is killed between opening and ending switches: what it promised stands, and nothing is done twice. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { thisCheckout } from '../../lab/checkout.ts';
import { type ApiClient, localClient } from '../../linux/api-client.ts';
import { registerNode } from '../../linux/join.ts';
import { type Daemon, type Outcome, run, startDaemon } from '../../linux/process.ts';
import type { NodeName } from '../../model/names.ts';
import type { SwitchListed, SwitchShown } from '../../model/switch-request.ts';
import { uplink } from '../server-world.ts';
import { ReportingNode } from '../support/reporting-node.ts';
import { answered } from './crashes.ts';

let directory: string;
let client: ApiClient;
let daemon: Daemon;
let node: ReportingNode;

const env = (): NodeJS.ProcessEnv => ({
  ...process.env,
  SLUICE_RUN_DIR: path.join(directory, 'run'),
  SLUICE_STATE_DIR: path.join(directory, 'state'),
  SLUICE_FAIL_POINTS: path.join(directory, 'die'),
});
const dieAt = (point: string): void => writeFileSync(path.join(directory, 'die'), point);
const sluice = (...args: string[]): Promise<Outcome> => run([thisCheckout().sluice, ...args], { env: env() });

async function start(): Promise<void> {
  daemon = await startDaemon([thisCheckout().sluice, 'server'], { env: env() });
  await answered(() => client.request('GET', '/v1/status'));
  node = new ReportingNode(client, 'a', Date.now, [
    { tenant: 'blue', name: 'web', limits: { cpu: 1 } },
    { tenant: 'red', name: 'batch', limits: { cpu: 1 } },
  ]);
}

async function killed(): Promise<void> {
  expect(await daemon.exited).toBe(137);
  await node.stop().catch(() => undefined);
}

const WISH = {
  select: { tenant: ['blue'] },
  changes: { cpu: { do: 'lift' } },
  reason: 'a test of crashes',
};
const open = (forMs: number, more: object = {}): Promise<unknown> =>
  client.request('POST', '/v1/switches?waitMs=5000', { ...WISH, forMs, ...more });
const list = async (query = ''): Promise<SwitchListed[]> =>
  ((await client.request('GET', `/v1/switches${query}`)) as { items: SwitchListed[] }).items;
/** What the server itself has ended, each entry's subject. */
const endings = async (): Promise<string[]> => {
  const { items } = (await client.request('GET', '/v1/audit')) as {
    items: { who: string; operation: string; subject: string }[];
  };
  return items
    .filter(({ who, operation }) => who === 'server' && operation === 'switch.close')
    .map(({ subject }) => subject);
};

beforeEach(async () => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'sluice-switches-'));
  client = localClient(path.join(directory, 'run', 'server.sock'));
  await start();
  for (const tenant of ['blue', 'red']) await client.request('POST', '/v1/tenants', { tenant });
  await registerNode(client, 'a' as NodeName, uplink(1));
  await node.follow();
});

afterEach(async () => {
  await node.stop().catch(() => undefined);
  await daemon.stop();
  client.close();
  rmSync(directory, { recursive: true });
});

describe('a server killed in the midst of switches', () => {
  it('has opened what it had written, and does not open it again', async () => {
    const id = 'sw-00000001';
    dieAt('switch:opened');
    await expect(open(60_000, { id })).rejects.toBeDefined();
    await killed();
    await start();
    await node.follow();
    expect(await list()).toMatchObject([{ id, phase: 'open' }]);
    const shown = (await client.request('GET', `/v1/switches/${id}?waitMs=5000`)) as SwitchShown;
    expect(shown).toMatchObject({ settled: true, effects: [{ state: 'applied' }] });
    await expect(open(60_000, { id })).rejects.toMatchObject({ code: 'already_exists' });
  });

  it.each(['switch:ending', 'switch:ended'])('ends each one once when it dies at %s', async (point) => {
    dieAt(point);
    await open(1_000);
    await open(1_000);
    await killed();
    await start();
    await answered(list, (left) => left.length === 0);
    const history = await list('?all=1');
    expect(history.map(({ phase }) => phase)).toEqual(['ended', 'ended']);
    const named = (await endings()).join();
    for (const { id } of history) expect(named.split(id)).toHaveLength(2);
  });

  it('ends what came to its end while it was dead', async () => {
    const { switch: one } = (await open(1_000)) as SwitchShown;
    process.kill(daemon.id.pid, 'SIGKILL');
    await killed();
    await answered(
      () => Promise.resolve(Date.now()),
      (now) => now > one.until,
    );
    await start();
    await answered(list, (left) => left.length === 0);
    expect(await list('?all=1')).toMatchObject([{ id: one.id, phase: 'ended' }]);
  });
});

describe('plans and defaults from the command line', () => {
  it('are set in words with units, shown, and what is not named stays', async () => {
    const set = await sluice(
      ...['tenant', 'set', 'blue', '--limit', 'cpu=0.5', '--limit', 'memory=128MiB'],
      ...['--share', 'net.external.out=1Gbit', '--borrow', '--priority', '5', '--json'],
      ...['--volumes', '3', '--volume-bytes', '10GiB'],
    );
    expect(JSON.parse(set.stdout)).toEqual({
      tenant: 'blue',
      container: { cpu: 0.5, memory: 2 ** 27 },
      share: { 'tenant.net.external.out': 1e9 },
      borrow: true,
      priority: 5,
      volumes: { count: 3, bytes: 10 * 2 ** 30 },
    });
    const again = await sluice(
      'tenant',
      'set',
      'blue',
      '--limit',
      'net.internal=100Mbit',
      '--unset',
      'memory',
      '--no-borrow',
    );
    expect(again.code).toBe(0);
    const { stdout } = await sluice('tenant', 'show', 'blue');
    expect(stdout).toMatch(/cpu\s+0\.5\n\s+net\.internal\.in\s+100Mbit\n\s+net\.internal\.out\s+100Mbit/);
    expect(stdout).toMatch(/tenant\.net\.external\.out\s+1Gbit/);
    expect(stdout).not.toMatch(/memory/);
    const dry = await sluice('tenant', 'set', 'blue', '--clear', '--dry-run', '--json');
    expect(JSON.parse(dry.stdout)).toMatchObject({
      before: { priority: 5 },
      after: { container: {}, priority: 0 },
    });
    const audit = await sluice('audit');
    expect(audit.stdout).toContain('"borrow":true');
  });

  it('are refused without units, with groups that do not exist, and for nobody', async () => {
    for (const [words, code, said] of [
      [['--limit', 'memory=128'], 2, 'MiB'],
      [['--limit', 'speed=1'], 2, 'there is no limit speed'],
      [['--limit', 'cpu'], 2, 'FIELD=VALUE'],
      [['--limit', 'cpu=-1'], 2, 'cpu'],
      [['--share', 'cpu=1'], 2, 'there is no limit tenant.cpu'],
      [['--limit', 'tenant.net.external.out=1Gbit'], 2, '--share'],
    ] as const) {
      const outcome = await sluice('tenant', 'set', 'blue', ...words);
      expect([outcome.code, outcome.stderr]).toEqual([code, expect.stringContaining(said)]);
    }
    expect((await sluice('tenant', 'set', 'green', '--limit', 'cpu=1')).code).toBe(4);
  });

  it('have defaults for everybody else', async () => {
    expect((await sluice('limits', 'default', 'show')).stdout).toContain('nothing is limited');
    await sluice('limits', 'default', 'set', '--limit', 'pids=200', '--meaning', 'goodput');
    const { stdout } = await sluice('limits', 'default', 'show', '--json');
    expect(JSON.parse(stdout)).toEqual({ container: { pids: 200 }, meaning: 'goodput' });
  });
});
