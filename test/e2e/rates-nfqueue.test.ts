/** Rates on nodes without eBPF: the same trees, reached by filters. */
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { type Daemon, run } from '../../linux/process.ts';
import { flow, inside, listen, meanRate, type NodeShaper, shaperOf, sharePayload } from '../support/rates.ts';

const MORE = ['-C', 'cubic', '-l', '4K'];
const RATE = 10e6;

let lab: Lab;
let shaper: NodeShaper;
let one: LabContainer;
let two: LabContainer;
let daemons: Daemon[] = [];

beforeAll(async () => {
  lab = await createLab({ prefix: 'ratenq', nodes: ['a'] });
  await lab.start({ tagqueue: { plane: 'nfqueue' } });
  await lab.tenant('blue');
  [one, two] = await Promise.all([lab.container('a', 'blue', 'c1'), lab.container('a', 'blue', 'c2')]);
  const owners = new Map([
    [one, 'blue'],
    [two, 'blue'],
  ]);
  shaper = await shaperOf(lab.node('a'), owners);
  daemons = await Promise.all([one, two, lab.internet].map(({ namespace }) => listen(namespace)));
});
afterAll(async () => {
  await Promise.all(daemons.map((daemon) => daemon.stop()));
  await shaper?.[Symbol.asyncDispose]();
  await lab?.close();
});

describe('a rate without eBPF', () => {
  it.each(['internal', 'external'] as const)('holds on the %s side, in both directions', async (side) => {
    await shaper.want([{ container: one, side, in: RATE, out: RATE }]);
    const share = await sharePayload(one.namespace, side);
    const to = side === 'internal' ? two.internal : lab.internet.address;
    for (const more of [MORE, [...MORE, '-R']]) {
      const figure = meanRate(await flow(one.namespace, to, { more }), 0.5, 1.9) / share / RATE;
      process.stdout.write(`    ${side} ${more.includes('-R') ? 'in' : 'out'}: ${figure.toFixed(3)}\n`);
      expect(Math.abs(figure - 1)).toBeLessThan(0.1);
    }
    const { ports } = await shaper.keeper.read();
    expect(ports).toEqual([{ hostIf: shaper.hostIf(one, side), side, tenant: 'blue', in: RATE, out: RATE }]);
  });

  it('changes, is lifted, and leaves nothing behind', async () => {
    await shaper.want([{ container: one, side: 'internal', in: 20e6, out: 30e6 }]);
    expect((await shaper.keeper.read()).ports).toMatchObject([{ in: 20e6, out: 30e6 }]);
    await shaper.want([]);
    expect(await shaper.keeper.read()).toEqual({ ports: [], tenants: [] });
    const free = await flow(one.namespace, two.internal, { seconds: 1, more: MORE });
    expect(free.rate).toBeGreaterThan(200e6);
    expect(await lab.node('a').exec(['tc', 'class', 'show', 'dev', 'soi-a'])).toBe('');
  });

  it('comes back when somebody has put another tree in place of ours', async () => {
    await shaper.want([{ container: one, side: 'internal', out: RATE }]);
    const reach = async (): Promise<boolean> =>
      (await run(inside(one.namespace, 'ping', '-c', '2', '-i', '0.1', '-W', '1', two.internal))).code === 0;
    expect(await reach()).toBe(true);
    await lab.node('a').exec(['tc', 'qdisc', 'delete', 'dev', 'soi-a', 'root']);
    await lab.node('a').exec(['tc', 'qdisc', 'add', 'dev', 'soi-a', 'root', 'handle', '1:', 'htb']);
    expect((await shaper.keeper.read()).ports).not.toEqual([expect.objectContaining({ out: RATE })]);
    await shaper.want([{ container: one, side: 'internal', out: RATE }]);
    expect((await shaper.keeper.read()).ports).toEqual([expect.objectContaining({ out: RATE })]);
    expect(await reach()).toBe(true);
    await shaper.want([]);
  });
});
