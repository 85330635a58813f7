/** Nodes prove the fence to each other all the time: quiet while it holds, loud within seconds when it does not. */
import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { askDaemon } from '../../lab/daemons.ts';
import { createLab, type Lab } from '../../lab/lab.ts';
import { namespaceOf } from '../../lab/topology.ts';
import { readTextIfThere } from '../../linux/files.ts';
import { runOk } from '../../linux/process.ts';
import type { DropReason } from '../../tagqueue/reasons.ts';
import { letFail } from '../faults/crashes.ts';
import { FenceBuilds } from '../fence/builds.ts';
import { exchangeFence } from '../fence/exchange.ts';

const builds = new FenceBuilds();
const EVERY_SECOND = { everySeconds: 1 } as const;
const PREFIX = 'tprobes';
const POLL_MS = 20;
const MUTANTS: readonly (readonly [reason: DropReason, kind: string, what: string])[] = [
  ['tag_forged', 'forged', 'a packet with a forged tag'],
  ['untagged', 'untagged', 'a packet without a tag'],
  ['other_tenant', 'wrong-tenant', "a packet of another tenant's"],
  ['tag_epoch', 'unknown-epoch', 'a packet with a tag of an unknown key'],
];
let lab: Lab;

beforeAll(async () => {
  lab = await createLab({ prefix: PREFIX, nodes: ['a', 'b'] });
  letFail(lab.node('b'));
  await Promise.all([
    lab.start({ probes: EVERY_SECOND }),
    builds.ahead([undefined, ...MUTANTS.map(([reason]) => reason)]),
  ]);
}, 90_000);
afterAll(async () => {
  await lab?.close();
  builds[Symbol.dispose]();
});

interface Fence {
  readonly peers: Readonly<Record<string, number>>;
  readonly unwell: readonly { readonly node: string; readonly state: string }[];
  readonly failures: readonly string[];
}

/** As `sluice status` has it. */
async function fenceOf(node: string): Promise<Fence> {
  const status = await askDaemon(lab.node(node).runDir, 'tagqueue', 'GET', '/v1/status');
  return (status as { probes: Fence }).probes;
}

const metricsOf = (node: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socketPath = `${lab.node(node).runDir}/tagqueue.sock`;
    get({ socketPath, path: '/metrics' }, (answer) => resolve(text(answer))).on('error', reject);
  });

/** Lines of the log at level error, and no other. */
const alarmsOf = (node: string): string[] =>
  (readTextIfThere(lab.node(node).logFile) ?? '')
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as { level: number; msg: string })
    .filter(({ level, msg }) => level === 50 && msg.startsWith('the fence is broken'))
    .map(({ msg }) => msg);

async function until<T>(what: string, seconds: number, look: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + seconds * 1_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end)
      throw new Error(
        `waited in vain: ${what}; ${JSON.stringify(await fenceOf('a'))} ${JSON.stringify(await fenceOf('b'))}`,
      );
    await sleep(POLL_MS);
  }
}

const allWell = (): Promise<true> =>
  until('both find each other well', 20, async () => {
    const fences = await Promise.all(['a', 'b'].map(fenceOf));
    const well = fences.every(({ peers, failures }) => peers['well'] === 1 && failures.length === 0);
    return well || undefined;
  });

const onWire = (rule: string): Promise<string> =>
  runOk(['ip', 'netns', 'exec', namespaceOf(PREFIX, 'wire'), 'nft', rule]);

describe('fence probes', () => {
  it('find a whole fence well, and prove every kind', async () => {
    await allWell();
    const metrics = await until('all kinds are proved', 20, async () => {
      const all = await metricsOf('a');
      return all.includes('kind="untagged",outcome="refused"') ? all : undefined;
    });
    expect(metrics).toMatch(/^sluice_fence_probes_total\{kind="valid",outcome="passed"\} [1-9]/m);
    for (const kind of ['wrong-tenant', 'forged', 'unknown-epoch', 'untagged'])
      expect(metrics).toMatch(
        new RegExp(`^sluice_fence_probes_total\\{kind="${kind}",outcome="refused"\\} [1-9]`, 'm'),
      );
    expect(metrics).toMatch(/^sluice_fence_probe_failures 0$/m);
    expect(metrics).toMatch(/^sluice_fence_probe_peers\{state="well"\} 1$/m);
    expect([...alarmsOf('a'), ...alarmsOf('b')]).toEqual([]);
    expect((await lab.node('a').sluice(['status'])).stdout).toContain('fence probes: peers 1 well');
  });

  it('let nothing of containers in at their door, nor out of it', async () => {
    await lab.tenant('red');
    const red = await lab.container('a', 'red', 'r1');
    const gateways = ['10.64.0.1', '10.64.4.1'];
    for (const gateway of gateways)
      expect(
        await lab
          .node('a')
          .exec(['sh', '-c', `ip netns exec ${red.namespace} ping -c1 -W1 ${gateway} || echo silent`]),
      ).toContain('silent');
    await red.remove();
    expect(await fenceOf('b')).toMatchObject({ failures: [] });
  });

  it.each(MUTANTS)(
    'notice within seconds that a node does not refuse %s any more',
    async (reason, kind, what) => {
      const alarms = { a: alarmsOf('a').length, b: alarmsOf('b').length };
      await exchangeFence(lab.node('b'), {
        ...{ probes: EVERY_SECOND, tagqueue: { object: builds.build(reason) } },
      });
      const [theirs, ours] = await until('both know', 15, async () => {
        const [a, b] = await Promise.all([fenceOf('a'), fenceOf('b')]);
        return a.failures.length > 0 && b.failures.length > 0 ? [a, b] : undefined;
      });
      expect(theirs!.failures).toEqual([`node b let in ${what}`]);
      expect(ours!.failures).toEqual([`this node let in ${what} from node a`]);
      expect(await metricsOf('a')).toMatch(new RegExp(`kind="${kind}",outcome="arrived"\\} [1-9]`));
      expect(await metricsOf('a')).toMatch(/^sluice_fence_probe_failures 1$/m);
      expect((await lab.node('a').sluice(['status'])).stdout).toContain(
        `THE FENCE IS BROKEN: node b let in ${what}`,
      );
      await exchangeFence(lab.node('b'), { probes: EVERY_SECOND, tagqueue: { object: builds.build() } });
      await allWell();
      expect(alarmsOf('a').slice(alarms.a)).toEqual([`the fence is broken: node b let in ${what}`]);
    },
  );

  it('notice that what may pass does not, while the machines reach each other', async () => {
    const alarms = alarmsOf('a').length;
    await onWire('add table bridge fabric');
    await onWire('add chain bridge fabric drops { type filter hook forward priority 0; }');
    await onWire('add rule bridge fabric drops ip daddr 10.64.0.0/12 drop');
    const { failures } = await until('it is missed', 20, async () => {
      const fence = await fenceOf('a');
      return fence.failures.length > 0 ? fence : undefined;
    });
    expect(failures).toEqual(['what may reach node b does not arrive there']);
    expect(await metricsOf('a')).toMatch(/kind="valid",outcome="missing"\} [1-9]/);
    expect(await metricsOf('a')).toMatch(/kind="forged",outcome="unproven"\} [1-9]/);
    await onWire('delete table bridge fabric');
    await allWell();
    expect(alarmsOf('a')).toHaveLength(alarms + 1);
  });

  it('tell a peer that is away from a fence that is broken', async () => {
    const alarms = alarmsOf('a').length;
    await lab.node('b').stop();
    await until(
      'its tagqueue is silent',
      15,
      async () => (await fenceOf('a')).peers['silent'] === 1 || undefined,
    );
    await lab.node('b').exec(['ip', 'link', 'set', 'up0', 'down']);
    await until(
      'it is unreachable',
      15,
      async () => (await fenceOf('a')).peers['unreachable'] === 1 || undefined,
    );
    expect(await fenceOf('a')).toMatchObject({ failures: [], unwell: [{ node: 'b', state: 'unreachable' }] });
    expect(alarmsOf('a')).toHaveLength(alarms);
  });
});
