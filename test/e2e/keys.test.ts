/** Keys that change under traffic: nothing is lost, whoever is shut out is out, and no key is ever seen. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { get } from 'node:http';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { localClient } from '../../linux/api-client.ts';
import { type Daemon, run, startDaemon } from '../../linux/process.ts';
import type { ClusterKeys, KeyReport } from '../../model/keys.ts';
import { arm, fired, letFail, processOf, report, until, waitReady } from '../faults/crashes.ts';

const KEYS = { rotateEvery: 0, grace: '100ms', waitForNodes: '2s' } as const;
// Probes with wrong keys are refused, as they should be: they would be taken for packets lost to a change of keys.
const LOUD = { log: 'debug', keys: KEYS, probes: { everySeconds: 0 } } as const;

let lab: Lab;
let a: LabNode;
let b: LabNode;
let c: LabNode;
let blueA: LabContainer;
let blueB: LabContainer;
let blueC: LabContainer;
let helpers: Daemon[] = [];

beforeAll(async () => {
  lab = await createLab({ prefix: 'keys', nodes: ['a', 'b', 'c'] });
  [a, b, c] = lab.nodes as [LabNode, LabNode, LabNode];
  letFail(a);
  await lab.start({ ...LOUD, keys: { ...KEYS, rotateEvery: '1s' } });
  await lab.tenant('blue');
  [blueA, blueB, blueC] = await Promise.all([
    lab.container('a', 'blue', 'b1'),
    lab.container('b', 'blue', 'b2'),
    lab.container('c', 'blue', 'b3'),
  ]);
});
afterEach(async () => {
  for (const helper of helpers) await helper.stop();
  helpers = [];
});
afterAll(() => lab?.close());

async function fromServer<T>(path: string): Promise<T> {
  const client = localClient(`${a.runDir}/server.sock`);
  try {
    return (await client.request('GET', path)) as T;
  } finally {
    client.close();
  }
}

const keyReport = (): Promise<KeyReport> => fromServer('/v1/keys/rotation');
const standings = async (): Promise<Record<string, string>> =>
  Object.fromEntries((await keyReport()).nodes.map(({ node, standing }) => [node, standing]));

async function told(node: LabNode, ...words: string[]): Promise<Record<string, unknown>> {
  const { stdout } = await node.sluice([...words, '--json']);
  return JSON.parse(stdout) as Record<string, unknown>;
}

async function allCurrent(): Promise<void> {
  await until('all nodes have the present keys', async () => {
    const { phase, nodes } = await keyReport();
    return phase === 'steady' && nodes.every(({ standing }) => standing === 'current');
  });
}

const tagDrops = async (): Promise<number> =>
  (await Promise.all(lab.nodes.map(tagDropsOf))).reduce((all, one) => all + one, 0);

const tagDropsOf = async (node: LabNode): Promise<number> => {
  const drops = (await told(node, 'drops')) as unknown as { reason: string; packets: number }[];
  return drops
    .filter(({ reason }) => ['tag_epoch', 'tag_forged', 'no_key'].includes(reason))
    .reduce((sum, { packets }) => sum + packets, 0);
};

interface Crossed {
  readonly tagged: number;
  readonly verified: number;
}

/** Packets that all nodes have tagged, and those that all have verified: what lies between was lost. */
async function crossed(): Promise<Crossed> {
  const texts = await Promise.all(lab.nodes.map(metricsOf));
  const sum = (what: string): number =>
    texts
      .map((text) => Number(new RegExp(`packets_total\\{what="${what}"\\} (\\d+)`).exec(text)?.[1]))
      .reduce((all, one) => all + one, 0);
  return { tagged: sum('tagged'), verified: sum('verified') };
}

function metricsOf({ runDir }: LabNode): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ socketPath: `${runDir}/tagqueue.sock`, path: '/metrics' }, (answer) => resolve(text(answer))).on(
      'error',
      reject,
    );
  });
}

const inside = ({ namespace }: LabContainer, ...command: string[]): [string, ...string[]] => [
  'ip',
  'netns',
  'exec',
  namespace,
  ...command,
];

interface Pings {
  readonly sent: number;
  readonly lost: number;
}

let pings = 0;

/** Pings 500 times a second until it is told to stop. */
async function pinging(from: LabContainer, to: LabContainer): Promise<() => Promise<Pings>> {
  const logFile = `${lab.directory}/ping-${pings++}`;
  const ping = await startDaemon(inside(from, 'ping', '-q', '-i', '0.002', to.internal), { logFile });
  return async () => {
    process.kill(ping.id.pid, 'SIGINT');
    await ping.exited;
    const [, sent = '', received = ''] =
      /(\d+) packets transmitted, (\d+) received/.exec(readFileSync(logFile, 'utf8')) ?? [];
    // The last one may have been on its way when ping was told to stop.
    return { sent: Number(sent), lost: Math.max(0, Number(sent) - Number(received) - 1) };
  };
}

const answers = async (from: LabContainer, to: LabContainer): Promise<boolean> =>
  (await run(inside(from, 'ping', '-c', '2', '-i', '0.05', '-W', '1', to.internal))).code === 0;

it('a change every second under load loses no packet', async () => {
  const SECONDS = 15;
  await until('all have told of their keys', async () =>
    Object.values(await standings()).every((standing) => standing !== 'away'),
  );
  const before = await keyReport();
  const crossedBefore = await crossed();
  const dropsBefore = await tagDrops();
  helpers.push(await startDaemon(inside(blueB, 'iperf3', '-s')));
  await until(
    'iperf3 listens',
    async () => (await run(inside(blueB, 'ss', '-Hltn', 'sport', '=', ':5201'))).stdout !== '',
  );
  const stop = await Promise.all([pinging(blueA, blueC), pinging(blueC, blueB)]);
  const load = await run(
    inside(blueA, 'iperf3', '-c', blueB.internal, '-u', '-b', '100M', '-l', '1200', '-t', `${SECONDS}`, '-J'),
    { timeoutMs: 40_000 },
  );
  const ended = await Promise.all(stop.map((end) => end()));
  const { sum } = (JSON.parse(load.stdout) as { end: { sum: { packets: number; lost_packets: number } } })
    .end;
  const { generation } = await keyReport();
  const drops = (await tagDrops()) - dropsBefore;
  const { tagged, verified } = await crossed();
  const sent = tagged - crossedBefore.tagged;
  const arrived = verified - crossedBefore.verified;
  const lost = ended.reduce((all, one) => all + one.lost, 0);
  const changes = generation - before.generation;
  report(
    'keys changed every second',
    sent,
    arrived,
    `${changes} changes in ${SECONDS} s, ${drops} refused for their key, ${lost} pings lost, ${sum.lost_packets} of ${sum.packets} UDP packets lost on the way to the program`,
  );
  expect(changes).toBeGreaterThanOrEqual(SECONDS - 3);
  expect(sent).toBeGreaterThan(100_000);
  expect({ drops, pings: lost, lost: sent - arrived }).toEqual({ drops: 0, pings: 0, lost: 0 });
});

it('the clock has no say when it is switched off', async () => {
  await a.restart(LOUD);
  expect((await keyReport()).dueAt).toBeNull();
});

it('a manual change ends with one key, which all nodes have', async () => {
  await allCurrent();
  const before = await keyReport();
  const ended = (await told(a, 'key', 'rotate', '--wait')) as unknown as KeyReport;
  expect(ended).toMatchObject({ generation: before.generation + 1, phase: 'steady', next: null });
  expect(ended.accepted).toHaveLength(1);
  await until('no node accepts the former key any more', async () =>
    (await keyReport()).nodes.every(({ held }) => held?.accepts.length === 1),
  );
  const { accepts, sends } = (await keyReport()).nodes[1]!.held!;
  expect({ accepts, sends }).toEqual({ accepts: [ended.epoch], sends: ended.epoch });
  expect((await a.sluice(['key', 'show'])).stdout).toContain(`key generation ${ended.generation}`);
  expect((await told(b, 'key', 'rotate'))['code']).toBe('refused');
});

it.each(['keys:spreading', 'keys:switching', 'keys:retiring', 'keys:steady'])(
  'a change goes on after the server was killed at %s, and nothing is lost',
  async (point) => {
    await allCurrent();
    const { generation } = await keyReport();
    const victim = processOf(a, 'server');
    const stop = await pinging(blueA, blueB);
    arm(a, point);
    await a.sluice(['key', 'rotate']);
    await until('the server was killed', () => fired(a) && processOf(a, 'server') !== victim);
    await waitReady(a);
    await allCurrent();
    const { sent, lost } = await stop();
    report(`server killed at ${point}`, sent, sent - lost);
    expect((await keyReport()).generation).toBe(generation + 1);
    expect(lost).toBe(0);
  },
);

it('a node that is away during a change is named, and catches up when it is back', async () => {
  await allCurrent();
  await b.stop();
  const ended = (await told(a, 'key', 'rotate', '--wait')) as unknown as KeyReport;
  expect(ended.nodes.map(({ node, standing }) => [node, standing])).toEqual([
    ['a', 'current'],
    ['b', 'late'],
    ['c', 'current'],
  ]);
  expect(await fromServer<string>('/v1/audit?limit=1000').then(JSON.stringify)).toContain(
    `generation ${ended.generation} goes on without node b`,
  );
  expect(await answers(blueA, blueC)).toBe(true);
  expect(await answers(blueA, blueB)).toBe(false);
  await b.restart(LOUD);
  await allCurrent();
  expect(await answers(blueA, blueB)).toBe(true);
  expect(readFileSync(b.logFile, 'utf8')).toContain('keys were changed while this node did not hear of it');
});

it('a fenced node is out at once, the others go on, and it is let in again', async () => {
  await allCurrent();
  const before = await keyReport();
  const keysBefore = (await fromServer<ClusterKeys>('/v1/keys')).keys.map(({ key }) => key);
  const stop = await pinging(blueA, blueC);
  const began = performance.now();
  expect(await told(a, 'node', 'fence', 'b', '--reason', 'it was taken over')).toMatchObject({
    fenced: true,
  });
  await until('the keys it knows have ended', async () => {
    const { phase, generation } = await keyReport();
    return phase === 'steady' && generation > before.generation;
  });
  const ms = Math.round(performance.now() - began);
  const keysAfter = (await fromServer<ClusterKeys>('/v1/keys')).keys.map(({ key }) => key);
  expect(keysAfter.filter((key) => keysBefore.includes(key))).toEqual([]);
  await until('it says so', async () => {
    const { daemons } = (await told(b, 'status')) as { daemons: { daemon: string; reason: string }[] };
    return daemons.some(({ daemon, reason }) => daemon === 'tagqueue' && reason.includes('shut out'));
  });
  expect(await answers(blueB, blueA)).toBe(false);
  expect(await answers(blueA, blueB)).toBe(false);
  const { sent, lost } = await stop();
  report('node fenced, others go on', sent, sent - lost, `keys ended after ${ms} ms`);
  expect(lost).toBe(0);
  expect(await standings()).toMatchObject({ a: 'current', b: 'fenced', c: 'current' });
  expect(JSON.stringify(await fromServer('/v1/audit?limit=1000'))).toContain('node b: it was taken over');
  // It may look.
  expect((await b.sluice(['node', 'show', 'b'])).stdout).toContain('fenced    yes');

  await told(a, 'node', 'unfence', 'b');
  await allCurrent();
  await waitReady(b);
  expect(await answers(blueA, blueB)).toBe(true);
});

it('no key is in a log, a process list, a file that others may read, or an answer to anybody but nodes', async () => {
  await allCurrent();
  const secrets = new Set((await fromServer<ClusterKeys>('/v1/keys')).keys.map(({ key }) => key as string));
  await told(a, 'key', 'rotate', '--wait');
  for (const { key } of (await fromServer<ClusterKeys>('/v1/keys')).keys) secrets.add(key);
  secrets.add(masterKey());
  expect(secrets.size).toBe(3);
  const holds = (text: string): boolean => [...secrets].some((secret) => text.includes(secret));

  const files = [...everyFile(lab.directory)];
  const open = files.filter((file) => (statSync(file).mode & 0o077) !== 0);
  // The search does find them where they belong.
  expect(files.filter((file) => holds(readFileSync(file, 'latin1'))).sort()).toEqual(
    expect.arrayContaining([`${a.stateDir}/tagqueue.json`, `${b.stateDir}/tagqueue.json`]),
  );
  expect(open.filter((file) => holds(readFileSync(file, 'latin1')))).toEqual([]);
  const logs = lab.nodes.map(({ logFile }) => readFileSync(logFile, 'utf8'));
  expect(logs.every((log) => log.includes('"level":20'))).toBe(true);
  expect(logs.filter(holds)).toEqual([]);
  expect(processTexts().filter(holds)).toEqual([]);

  const client = localClient(`${a.runDir}/server.sock`);
  try {
    for (const path of [
      '/v1/keys/rotation',
      '/v1/cluster',
      '/v1/status',
      '/v1/audit?limit=1000',
      '/v1/tokens',
    ]) {
      expect([path, holds(JSON.stringify(await client.request('GET', path)))]).toEqual([path, false]);
    }
  } finally {
    client.close();
  }
  for (const role of ['operator', 'admin']) {
    const { stdout } = await a.sluice(['token', 'create', '--role', role]);
    const env = { SLUICE_TOKEN: stdout.trim() };
    const seen = await c.sluice(['key', 'show', '--json', '--server', `${a.address}:7070`], { env });
    expect([role, seen.code, holds(seen.stdout)]).toEqual([role, 0, false]);
  }
});

function masterKey(): string {
  const store = new DatabaseSync(`${a.stateDir}/server.sqlite`, { readOnly: true });
  try {
    const tables = store.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
    for (const { name } of tables) {
      for (const row of store.prepare(`SELECT * FROM "${String(name)}"`).all()) {
        const found = /"master":"([0-9a-f]{64})"/.exec(
          JSON.stringify(Object.values(row).map(String)).replaceAll('\\', ''),
        );
        if (found !== null) return found[1]!;
      }
    }
    throw new Error('there is no master key');
  } finally {
    store.close();
  }
}

function* everyFile(directory: string): Generator<string> {
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    if (entry.isFile() && !entry.parentPath.includes('/bpf')) yield `${entry.parentPath}/${entry.name}`;
  }
}

/** What everybody on the machine, and what root, can read of processes. */
function processTexts(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) =>
      ['cmdline', 'environ'].map((file) => {
        try {
          return readFileSync(`/proc/${pid}/${file}`, 'latin1');
        } catch {
          return '';
        }
      }),
    );
}
