/** A node with eBPF and one without prove the fence to each other: what is right is answered, what is wrong is refused, and a hole is told. */
import { createLab, type Lab } from '../../lab/lab.ts';
import { localClient } from '../../linux/api-client.ts';
import { until } from '../support/guard-world.ts';

const EVERY_SECOND = { probes: { everySeconds: 1 } } as const;
const CRAFTED = ['wrong-tenant', 'forged', 'unknown-epoch', 'untagged'] as const;
const TABLE = 'sluice_fence_b';
let lab: Lab;

beforeAll(async () => {
  lab = await createLab({ prefix: 'nqprobe', nodes: ['a', 'b'] });
  await lab.start({ ...EVERY_SECOND, tagqueue: { plane: 'ebpf' } });
  await lab.node('b').restart({ ...EVERY_SECOND, tagqueue: { plane: 'nfqueue' } });
}, 120_000);
afterAll(() => lab?.close(), 60_000);

interface Status {
  readonly plane: string;
  readonly probes: {
    readonly peers: readonly { readonly state: string }[];
    readonly failures: readonly string[];
  };
}

async function statusOf(node: string): Promise<Status> {
  using opened = new DisposableStack();
  const client = localClient(`${lab.node(node).runDir}/tagqueue.sock`);
  opened.defer(() => client.close());
  return (await client.request('GET', '/v1/status')) as Status;
}

const metricsOf = (node: string): Promise<string> =>
  lab
    .node(node)
    .exec([
      'curl',
      '-s',
      '--unix-socket',
      `${lab.node(node).runDir}/tagqueue.sock`,
      'http://tagqueue/metrics',
    ]);

const wellOnBoth = (): Promise<void> =>
  until('both find each other well', async () => {
    const all = await Promise.all(['a', 'b'].map(metricsOf));
    return all.every(
      (text) =>
        /^sluice_fence_probe_peers\{state="well"\} 1$/m.test(text) &&
        /^sluice_fence_probe_failures 0$/m.test(text),
    );
  });

const proved = (text: string, kind: string, outcome: string): boolean =>
  new RegExp(`^sluice_fence_probes_total\\{kind="${kind}",outcome="${outcome}"\\} [1-9]`, 'm').test(text);

describe('fence probes between a node with eBPF and one without', () => {
  it('find a whole fence well on both sides, and prove every kind', async () => {
    expect([(await statusOf('a')).plane, (await statusOf('b')).plane]).toEqual(['ebpf', 'nfqueue']);
    await wellOnBoth();
    for (const node of ['a', 'b'])
      await until(`all kinds are proved by ${node}`, async () => {
        const text = await metricsOf(node);
        return proved(text, 'valid', 'passed') && CRAFTED.every((kind) => proved(text, kind, 'refused'));
      });
    expect((await lab.node('b').sluice(['status'])).stdout).toContain('fence probes: peers 1 well');
  });

  it('are refused for what is wrong with them', async () => {
    const { stdout } = await lab.node('b').sluice(['drops', '--json']);
    const drops = JSON.parse(stdout) as { reason: string; packets: number }[];
    const refused = drops.filter(({ packets }) => packets > 0).map(({ reason }) => reason);
    expect(refused).toEqual(expect.arrayContaining(['other_tenant', 'untagged', 'tag_epoch', 'tag_forged']));
  });

  it('are no reason for the doctor to ask for eBPF', async () => {
    const { stdout } = await lab.node('b').sluice(['doctor', '--json']);
    const { checks } = JSON.parse(stdout) as { checks: { id: string; level: string; found: string }[] };
    const of = (id: string): object | undefined => checks.find((check) => check.id === id);
    expect(of('plane')).toMatchObject({ level: 'ok', found: expect.stringContaining('nfqueue') });
    for (const id of ['object', 'fast-path', 'carriers-a', 'fence-probes', 'mark'])
      expect(of(id)).toMatchObject({ level: 'ok' });
  });

  it('notice within seconds that somebody took the queue and the rules behind it away', async () => {
    const node = lab.node('b');
    // The daemon puts both back, so they are taken away until both nodes have seen it.
    await until('both know', async () => {
      await node.exec(['sh', '-c', `iptables -t raw -F; nft flush chain ip ${TABLE} judged`]);
      const all = await Promise.all(['a', 'b'].map(metricsOf));
      return (
        all.every((text) => !/^sluice_fence_probe_failures 0$/m.test(text)) &&
        proved(all[0]!, 'untagged', 'arrived')
      );
    });
    expect((await lab.node('a').sluice(['status'])).stdout).toContain(
      'THE FENCE IS BROKEN: node b let in a packet without a tag',
    );
  }, 40_000);

  it('are well again when the daemon has put them back', async () => {
    await until(
      'both are well',
      async () => {
        const all = await Promise.all(['a', 'b'].map(metricsOf));
        return all.every((text) => /^sluice_fence_probe_failures 0$/m.test(text));
      },
      30_000,
    );
    await wellOnBoth();
  }, 60_000);
});
