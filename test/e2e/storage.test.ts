/** Shared volumes on four nodes that are real but for their machines: made, shared, kept from others, and taken away. */
import { readFileSync, writeFileSync } from 'node:fs';
import * as z from 'zod';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { VolumeShown } from '../../model/volume-request.ts';
import { until } from '../runtimes/until.ts';

const NODES = ['a', 'b', 'c', 'd'];
const Mounted = z.object({ id: z.string(), hostPath: z.string() });

let lab: Lab;
const containers = new Map<string, LabContainer>();

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test builds networks and mounts: run it as root');
  lab = await createLab({ prefix: 'sdfour', nodes: NODES });
  await lab.start({ storage: { bricks: 'on' } });
  for (const tenant of ['blue', 'red']) await lab.tenant(tenant);
}, 60_000);
afterAll(async () => {
  for (const node of lab?.nodes ?? []) await node.down();
  await lab?.close();
}, 60_000);

async function sluice(node: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await lab.node(node).sluice(args);
  if (code !== 0) throw new Error(`sluice ${args.join(' ')} exits with ${code}: ${stdout}${stderr}`);
  return stdout;
}

async function shown(name: string): Promise<VolumeShown> {
  return VolumeShown.parse(JSON.parse(await sluice('a', 'volume', 'show', name, '--json')));
}

async function container(node: string, tenant: string, name: string): Promise<LabContainer> {
  const made = containers.get(name) ?? (await lab.container(node, tenant, name));
  containers.set(name, made);
  return made;
}

async function mount(node: string, volume: string, { id }: LabContainer): Promise<z.infer<typeof Mounted>> {
  return Mounted.parse(JSON.parse(await sluice(node, 'volume', 'mount', volume, '--container', id, '--tenant', 'blue', '--json')));
}

it('lets two containers of a tenant on two hosts share files', async () => {
  let t = performance.now();
  const lap = (what: string): void => {
    process.stderr.write(`${what} ${Math.round(performance.now() - t)}\n`);
    t = performance.now();
  };
  await sluice('a', 'volume', 'create', 'shared', '--tenant', 'blue', '--size', '2GiB', '--thin');
  lap('create');
  const [one, two] = [await container('a', 'blue', 'b1'), await container('c', 'blue', 'b2')];
  t = performance.now();
  const here = await mount('a', 'shared', one);
  lap('mount');
  const there = await mount('c', 'shared', two);
  lap('mount');
  writeFileSync(`${here.hostPath}/hello`, 'from a');
  expect(readFileSync(`${there.hostPath}/hello`, 'utf8')).toBe('from a');
  await until('all bricks serve', async () => (await shown('shared')).bricks.every(({ online }) => online === true));
  const { volume, warnings } = await shown('shared');
  expect(volume.hosts.sort()).toEqual(['a', 'c']);
  process.stderr.write(`${JSON.stringify(warnings)}\n`);
  process.stderr.write(await sluice('a', 'volume', 'show', 'shared'));
}, 90_000);
