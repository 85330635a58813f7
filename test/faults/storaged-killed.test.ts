/** F3: storaged killed with kill -9 at every step of a volume's life. It is whole or gone, and what is mounted goes on. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createLab, type Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { bricksOf, glusterOf, type Mounted, mount, remains, shown, typed } from '../support/storage-lab.ts';
import { arm, fired, killNow, letFail, processOf, report, until, waitReady } from './crashes.ts';

/** Of bricks one each: bricks-killed.test.ts has all. */
const CREATION: readonly (readonly string[])[] = [
  ['storage:brick', 'brick:formatted', 'storage:create', 'storage:start'],
  ['storage:brick:done', 'storage:create:done', 'storage:start:done'],
];
const REMOVAL: readonly (readonly string[])[] = [
  ['storage:stop', 'storage:delete', 'storage:remove-brick'],
  ['storage:stop:done', 'storage:delete:done', 'brick:unmounted'],
];

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test mounts file systems: run it as root');
  lab = await createLab({ prefix: 'sdkill', nodes: ['a'] });
  node = lab.node('a');
  letFail(node);
  await node.start();
  await lab.tenant('blue');
}, 60_000);
afterAll(() => lab?.close(), 60_000);

afterEach(() => arm(node));

const create = (name: string): Promise<string> =>
  typed(node, 'volume', 'create', name, '--tenant', 'blue', '--size', '1GiB', '--thin');

it('makes a volume all the same, wherever in the making it dies', async () => {
  for (const [index, points] of CREATION.entries()) {
    arm(node, ...points);
    await create(`made-${index}`);
    expect(fired(node)).toBe(true);
    expect((await shown(node, `made-${index}`))?.volume.phase).toBe('ready');
  }
  const points = CREATION.flat().length;
  report('F3 storaged while a volume is made', points, points);
}, 120_000);

it('takes a volume away all the same, wherever in the removal it dies', async () => {
  for (const [index, points] of REMOVAL.entries()) {
    arm(node, ...points);
    await typed(node, 'volume', 'delete', `made-${index}`, '--tenant', 'blue', '--now', '--yes');
    await until('it has died at every point', () => fired(node));
    await until('the volume is gone', async () => (await shown(node, `made-${index}`)) === undefined);
  }
  expect(bricksOf(node)).toEqual([]);
  const points = REMOVAL.flat().length;
  report('F3 storaged while a volume goes', points, points);
}, 120_000);

it('leaves what is mounted as it is when it dies, and knows it again', async () => {
  const container = await lab.container('a', 'blue', 'c1');
  await create('kept');
  const one: Mounted = await mount(node, 'kept', container);
  writeFileSync(`${one.hostPath}/before`, 'before');
  const clients = glusterOf(node, 'glusterfs').map(({ pid }) => pid);
  await killNow(processOf(node, 'storaged'));
  writeFileSync(`${one.hostPath}/meanwhile`, 'meanwhile');
  expect(readFileSync(`${one.hostPath}/before`, 'utf8')).toBe('before');
  await waitReady(node);
  expect(await mount(node, 'kept', container)).toEqual(one);
  expect(glusterOf(node, 'glusterfs').map(({ pid }) => pid)).toEqual(clients);
  report('F3 storaged under a mount', 1, 1);
}, 60_000);

it('ends the mounts of a container that is gone', async () => {
  const container = await lab.container('a', 'blue', 'c2');
  const { id } = await mount(node, 'kept', container);
  const isThere = async (): Promise<boolean> =>
    ((await shown(node, 'kept'))?.mounts ?? []).some((one) => one.mount.id === id);
  await until('the mount is told', isThere);
  await container.remove();
  await until('the mount is gone', async () => !(await isThere()));
}, 60_000);

it('leaves nothing of all that when the node is taken down', async () => {
  await node.down();
  expect(remains(lab)).toEqual([]);
}, 60_000);
