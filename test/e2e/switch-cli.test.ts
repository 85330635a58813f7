/** Limits and switches as an operator types them, on a real node: what is said holds in the kernel, and is shown. */
import { inhabit } from '../../lab/inhabitant.ts';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import type { SwitchPlanned, SwitchShown } from '../../model/switch-request.ts';
import { until } from '../faults/crashes.ts';

const RUNTIME = { memory: 64 * 2 ** 20, pids: 50, cpu: 0.5 };

let lab: Lab;
let node: LabNode;
let cart: LabContainer;

beforeAll(async () => {
  lab = await createLab({ prefix: 'swcli', nodes: ['a'] });
  await lab.start();
  node = lab.node('a');
  await lab.tenant('shop');
  cart = await lab.container('a', 'shop', 'cart', { conf: { app: 'cart' } });
  await inhabit(lab, cart, { limits: RUNTIME });
  await until('its cgroup is found', async () =>
    (await sluice('limits', 'show', 'cart')).includes('cgroup     v'),
  );
});
afterAll(() => lab?.close());

async function sluice(...words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await node.sluice(words);
  if (code !== 0) throw new Error(`sluice ${words.join(' ')} ended with ${code}: ${stdout}${stderr}`);
  return stdout;
}

const shown = (): Promise<string> => sluice('limits', 'show', 'cart');

it('limits show tells the base of each field, where it is from, and what the kernel holds', async () => {
  const text = await shown();
  expect(text).toMatch(/^cpu +0\.5 +runtime +- +0\.5 +0\.5$/m);
  expect(text).toMatch(/^memory +64MiB +runtime +- +64MiB +64MiB$/m);
  expect(text).toMatch(/^pids +50 +runtime +- +50 +50$/m);
  expect(await sluice('limits', 'list')).toMatch(/cart +eth0 +shop +.*pids=50.* +- +applied/);
});

it('limits set comes before what the runtime said, and is taken back', async () => {
  await sluice('limits', 'set', 'cart', 'cpu=0.75', 'net.external.out=20Mbit');
  await until('it holds', async () => {
    const text = await shown();
    return (
      /^cpu +0\.75 +app +- +0\.75 +0\.75$/m.test(text) &&
      /^net\.external\.out +20Mbit +app .*20Mbit$/m.test(text)
    );
  });
  await sluice('limits', 'set', 'cart');
  await until('it holds no more', async () => /^cpu +0\.5 +runtime +- +0\.5 +0\.5$/m.test(await shown()));
});

it('a plan of the tenant is the base where nobody else says anything', async () => {
  await sluice('tenant', 'set', 'shop', '--limit', 'block.write=5MB/s', '--limit', 'cpu=2');
  await until('it holds', async () => /^block\.write +5MB\/s +plan +- +5MB\/s +5MB\/s$/m.test(await shown()));
  expect(await shown()).toMatch(/^cpu +0\.5 +runtime/m);
});

it('a switch that labels choose is planned, opened, shown with what the kernel holds, and closed', async () => {
  await sluice('endpoint', 'label', 'cart', 'tier=web');
  const before = await shown();
  const words = [
    '--select',
    'app=cart,label.tier=web',
    '--set',
    'cpu=1.5',
    '--scale',
    'memory=2',
    '--lift',
    'pids',
  ];
  // The node reports within a second that the container is labelled.
  await until('the server knows', async () => {
    const { code, stdout } = await node.sluice(['switch', 'plan', ...words, '--for', '1h', '--json']);
    return code === 0 && (JSON.parse(stdout) as SwitchPlanned).containers.length === 1;
  });
  const opened = await node.sluice([
    'switch',
    'open',
    ...words,
    '--for',
    '1h',
    '--reason',
    'sale',
    '--name',
    'peak',
    '--json',
  ]);
  const { effects, settled, switch: one } = JSON.parse(opened.stdout) as SwitchShown;
  expect({ settled, states: effects.map(({ state, why }) => [state, why]) }).toEqual({
    settled: true,
    states: [['applied', null]],
  });
  const open = await shown();
  expect(open).toMatch(new RegExp(`^cpu +0\\.5 +runtime +${one.id}: = 1\\.5 +1\\.5 +1\\.5$`, 'm'));
  expect(open).toMatch(new RegExp(`^memory +64MiB +runtime +${one.id}: × 2 +128MiB +128MiB$`, 'm'));
  expect(open).toMatch(new RegExp(`^pids +50 +runtime +${one.id}: lifted +unlimited +unlimited$`, 'm'));
  expect(await sluice('switch', 'close', 'peak')).toMatch(/closed by root/);
  const limitsIn = (text: string) => text.slice(text.indexOf('FIELD'));
  expect(limitsIn(await shown())).toBe(limitsIn(before));
  expect(await sluice('switch', 'history', one.id)).toMatch(/cpu +1\.5 +0\.5\n/);
});
