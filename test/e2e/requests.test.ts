/** What a container does to itself: too busy, it gets new connections only so fast; out of memory, it is told of. Needs root. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createLab, type Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { openNetns } from '../../linux/netns.ts';
import { askTcp, type Listener, listenTcp } from '../../linux/probe-sockets.ts';
import { identify } from '../../linux/process.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { askNetd } from '../cni/verbs-lab.ts';
import { until } from '../runtimes/until.ts';
import { type PlainContainer, plainContainer } from '../support/plain-container.ts';
import { connectRaw } from '../support/raw-client.ts';

const PORT = 8080;
const PER_SECOND = 20;
const TRIED_PER_SECOND = 100;
let lab: Lab;
let a: LabNode;
let busy: PlainContainer;
let calm: PlainContainer;
const open: Listener[] = [];

interface Requests {
  readonly load: readonly number[];
  readonly slowed: boolean;
  readonly busy: number | null;
}
interface Event {
  readonly event: string;
  readonly containerId: string;
  readonly kills: number;
}

async function stateOf({ attached }: PlainContainer): Promise<Requests | undefined> {
  const path = `/v1/limits/${attached.id}/requests`;
  return (await askNetd<{ requests: Requests[] }>(a, 'GET', path)).requests[0];
}

const isSlowed = async (container: PlainContainer): Promise<boolean> =>
  (await stateOf(container))?.slowed === true;

/** How many of so many new connections get through, tried one after the other at an even pace. */
async function letIn(port: number, seconds: number): Promise<number> {
  using internet = openNetns(lab.internet.netns);
  const to = { address: a.address as Ipv4, port };
  const tries: Promise<boolean>[] = [];
  const begun = performance.now();
  for (let index = 0; index < seconds * TRIED_PER_SECOND; index++) {
    await sleep(Math.max(0, begun + (index * 1_000) / TRIED_PER_SECOND - performance.now()));
    tries.push(askTcp(internet, to, 'hello', 400).then(({ state }) => state === 'answered'));
  }
  return (await Promise.all(tries)).filter((passed) => passed).length;
}

async function serving(name: string, hostPort: number): Promise<PlainContainer> {
  const portMappings = [{ hostPort, containerPort: 80, protocol: 'tcp' }];
  const container = await plainContainer(lab, 'a', 'blue', name, { runtimeConfig: { portMappings } });
  using netns = openNetns(container.attached.netns);
  open.push(await listenTcp(netns, 80, () => 'welcome'));
  return container;
}

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test makes network namespaces: run it as root');
  lab = await createLab({ prefix: 'reqlim', nodes: ['a'] });
  a = lab.node('a');
  await lab.start();
  await lab.tenant('blue');
  busy = await serving('busy', PORT);
  calm = await serving('calm', PORT + 1);
});
afterAll(async () => {
  for (const listener of open) await listener[Symbol.asyncDispose]();
  for (const container of [busy, calm]) await container?.close();
  await lab?.close();
});

describe('a request limit', () => {
  beforeAll(async () => {
    const words = ['endpoint', 'requests', busy.attached.id, '--over-load', '1.5', '--new-per-second'];
    const { code, stdout, stderr } = await a.sluice([
      ...words,
      String(PER_SECOND),
      '--average',
      '5',
      '--json',
    ]);
    expect({ code, stderr, shown: JSON.parse(stdout) }).toMatchObject({
      code: 0,
      shown: [{ limit: { load: 1.5, newPerSecond: PER_SECOND, averageSeconds: 5 }, slowed: false }],
    });
  });

  it('lets all in while the container is not busy', async () => {
    expect(await letIn(PORT, 1)).toBe(TRIED_PER_SECOND);
  });

  it('lets in so many a second while it is, keeps what is established, and spares others', async () => {
    const established = await connectRaw(lab.internet.netns, a.address as Ipv4, PORT, 1_000);
    if (typeof established === 'string') throw new Error(`no connection: ${established}`);
    await Promise.all(
      [1, 2, 3].map(() => busy.start(['nice', '-n', '19', 'sh', '-c', 'while :; do :; done'])),
    );
    await until('the container is seen to be busy', () => isSlowed(busy));
    const seconds = 3;
    const [passed, others] = [await letIn(PORT, seconds), await letIn(PORT + 1, 1)];
    process.stdout.write(
      `let in ${passed} of ${seconds * TRIED_PER_SECOND} in ${seconds} s, limit ${PER_SECOND}/s\n`,
    );
    expect(passed).toBeGreaterThan(PER_SECOND * seconds * 0.7);
    expect(passed).toBeLessThan(PER_SECOND * (seconds + 1) * 1.15);
    expect(others).toBe(TRIED_PER_SECOND);
    expect(established.send(Buffer.from('still here'))).toBe(true);
    expect(await established.hear(1_000)).toEqual({ said: 'welcome' });
    established[Symbol.dispose]();
  });

  it('goes on holding while netd is away, and after it is back', async () => {
    await a.stop();
    expect(await letIn(PORT, 1)).toBeLessThan(PER_SECOND * 2);
    await a.start({ listen: `${a.address}:7070` });
    expect(await letIn(PORT, 1)).toBeLessThan(PER_SECOND * 2);
    expect(await isSlowed(busy)).toBe(true);
  });

  it('is seen in the metrics', async () => {
    const text = await askMetrics();
    expect(text).toMatch(/sluice_container_slowed\{container="reqlim-a-busy"[^}]*\} 1/);
    expect(text).toMatch(/sluice_container_load\{container="reqlim-a-busy"[^}]*minutes="1"\} 0\.\d+|[1-3]/);
    expect(text).toMatch(/sluice_requests_refused [1-9]/);
  });

  it('comes back by itself when the work is done', async () => {
    busy.end('sh');
    await until('the container is no longer busy', async () => !(await isSlowed(busy)));
    expect(await letIn(PORT, 1)).toBe(TRIED_PER_SECOND);
  });
});

async function askMetrics(): Promise<string> {
  return a.exec(['curl', '--silent', '--unix-socket', `${a.runDir}/netd.sock`, 'http://localhost/metrics']);
}

describe('a container whose memory is out', () => {
  it('is told of in events and metrics, and nobody else is', async () => {
    await busy.limit({ memory: 24 * 2 ** 20 });
    const eater = await busy.start(['tail', '/dev/zero']);
    await until('the kernel has killed it', () => identify(eater.pid) === undefined);
    const events = async (): Promise<Event[]> =>
      (await askNetd<{ events: Event[] }>(a, 'GET', '/v1/limit-events')).events;
    await until('netd tells of it', async () => (await events()).length > 0);
    expect(await events()).toMatchObject([{ event: 'oom-kill', containerId: 'reqlim-a-busy', kills: 1 }]);
    const counted = /sluice_container_oom_kills_total\{[^}]*container="reqlim-a-busy"[^}]*\} 1/;
    await until('it is counted', async () => counted.test(await askMetrics()));
  });
});
