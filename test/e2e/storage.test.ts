/** Shared volumes on four nodes that are real but for their machines: made or taken back whole, shared, healed, taken away. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createLab, type Lab } from '../../lab/lab.ts';
import { until } from '../runtimes/until.ts';
import { bricksOf, glusterOf, mount, remains, shown, typed } from '../support/storage-lab.ts';

let lab: Lab;
let dead = '';
let seenAtA = '';

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test builds networks and mounts: run it as root');
  lab = await createLab({ prefix: 'sdfour', nodes: ['a', 'b', 'c', 'd'] });
  await lab.start({ storage: { bricks: 'on' } });
  for (const tenant of ['blue', 'red']) await lab.tenant(tenant);
}, 60_000);
afterAll(async () => {
  await lab?.close();
}, 60_000);

const create = (name: string): readonly string[] => [
  ...['volume', 'create', name, '--tenant', 'blue', '--size', '1GiB', '--thin', '--layout', 'two-by-two'],
];

it('takes a volume back whole when a storage node cannot be reached by its peers', async () => {
  const [a, d] = [lab.node('a'), lab.node('d')];
  const port = ['tcp', 'dport', '24007'].join(' ');
  await d.exec(['nft', 'add table inet cut; add chain inet cut in { type filter hook input priority 0; }']);
  await d.exec(['nft', `add rule inet cut in iifname "up0" ${port} reject with tcp reset`]);
  const { code, stderr } = await a.sluice(create('lost'));
  expect([code, stderr]).toEqual([1, expect.stringMatching(/could not be made/)]);
  await until('nothing is left of it', async () => (await shown(a, 'lost')) === undefined);
  await until('no brick is left', () => lab.nodes.every((node) => bricksOf(node).length === 0));
  await d.exec(['nft', 'delete table inet cut']);
}, 60_000);

it('lets two containers of a tenant on two hosts share files', async () => {
  const [a, c] = [lab.node('a'), lab.node('c')];
  await typed(a, ...create('shared'));
  const here = await mount(a, 'shared', await lab.container('a', 'blue', 'b1'));
  const there = await mount(c, 'shared', await lab.container('c', 'blue', 'b2'));
  seenAtA = here.hostPath;
  writeFileSync(`${here.hostPath}/hello`, 'from a');
  expect(readFileSync(`${there.hostPath}/hello`, 'utf8')).toBe('from a');
  const { volume, bricks } = (await shown(a, 'shared')) ?? {};
  expect(volume?.hosts.toSorted()).toEqual(['a', 'c']);
  expect(bricks?.map(({ brick }) => brick?.state)).toEqual(Array(6).fill('ready'));
}, 60_000);

it("does not mount it for another tenant's container", async () => {
  const { id } = await lab.container('a', 'red', 'r1');
  const args = ['volume', 'mount', 'shared', '--tenant', 'blue', '--container', id];
  const { code, stderr } = await lab.node('a').sluice(args);
  expect([code, stderr]).toEqual([3, expect.stringMatching(/another tenant/)]);
}, 60_000);

it('starts bricks again that have died, heals what they missed, and says so', async () => {
  const a = lab.node('a');
  const { bricks } = (await shown(a, 'shared')) ?? {};
  await until('all bricks serve', async () =>
    ((await shown(a, 'shared'))?.bricks ?? []).every(({ online }) => online),
  );
  const victims = glusterOf(lab.node('b'), 'glusterfsd');
  expect(victims.length).toBeGreaterThan(0);
  for (const { pid } of victims) process.kill(pid, 'SIGKILL');
  await until('all bricks serve again', async () => {
    const now = await shown(a, 'shared');
    const told = now?.events.map(({ what }) => what) ?? [];
    return (
      told.includes('brick-down') &&
      told.includes('brick-up') &&
      now?.bricks.every(({ online }) => online) === true
    );
  });
  expect((await shown(a, 'shared'))?.bricks).toHaveLength(bricks?.length ?? 0);
}, 60_000);

it('starts glusterd again', async () => {
  const b = lab.node('b');
  const [before] = glusterOf(b, 'glusterd');
  process.kill(before?.pid ?? 0, 'SIGKILL');
  await until('there is another', () => {
    const [now] = glusterOf(b, 'glusterd');
    return now !== undefined && now.pid !== before?.pid;
  });
}, 60_000);

it('moves the bricks of a node that is dead to another, and is whole again there', async () => {
  const a = lab.node('a');
  const { volume } = (await shown(a, 'shared')) ?? {};
  dead = ['b', 'd'].find((name) => name !== volume?.coordinator) ?? '';
  const lost = volume?.bricks.filter(({ node }) => node === dead).length ?? 0;
  expect(lost).toBeGreaterThan(0);
  await lab.node(dead).down();
  writeFileSync(`${seenAtA}/later`, 'while it was dead');
  const began = performance.now();
  await typed(a, 'volume', 'move', 'shared', '--tenant', 'blue', '--from', dead);
  const moved = await shown(a, 'shared');
  expect(moved?.volume.bricks.filter(({ node }) => node === dead)).toEqual([]);
  await until('all bricks serve, and are the same', async () => {
    const now = await shown(a, 'shared');
    return now?.bricks.every(({ online }) => online) === true && now.report?.heal?.pending === 0;
  });
  process.stdout.write(`    ${lost} bricks moved and healed: ${Math.round(performance.now() - began)} ms\n`);
  expect(readFileSync(`${seenAtA}/later`, 'utf8')).toBe('while it was dead');
}, 60_000);

it('grows while it is mounted, and goes without a trace, also of a node that has left', async () => {
  const a = lab.node('a');
  await typed(a, 'node', 'remove', dead, '--yes');
  await typed(a, 'volume', 'resize', 'shared', '--tenant', 'blue', '--size', '2GiB');
  expect((await shown(a, 'shared'))?.volume.sizeBytes).toBe(2 * 2 ** 30);
  for (const { node, mount: one } of (await shown(a, 'shared'))?.mounts ?? [])
    await typed(lab.node(node), 'volume', 'unmount', one.id);
  await typed(a, 'volume', 'delete', 'shared', '--tenant', 'blue', '--now', '--yes');
  const alive = lab.nodes.filter(({ name }) => name !== dead);
  await until('no brick is left', () => alive.every((node) => bricksOf(node).length === 0));
  for (const node of alive) await node.down();
  expect(remains(lab)).toEqual([]);
}, 90_000);
