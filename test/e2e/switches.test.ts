/** Switches over two real nodes, from the command line: zones, a node that is away, and room made by squeezing. */
import { cpus } from 'node:os';
import { inhabit } from '../../lab/inhabitant.ts';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { localClient } from '../../linux/api-client.ts';
import type { LimitField, LimitValue } from '../../model/limits.ts';
import type { SwitchEffect, SwitchListed, SwitchPlanned, SwitchShown } from '../../model/switch-request.ts';
import { until } from '../faults/crashes.ts';

const CORES = cpus().length;

let lab: Lab;
let a: LabNode;
let b: LabNode;
const containers = new Map<string, LabContainer>();

beforeAll(async () => {
  lab = await createLab({ prefix: 'swe2e', nodes: ['a', 'b'] });
  [a, b] = [lab.node('a'), lab.node('b')];
  await lab.start({ zone: 'hall-1' });
  await b.restart({ zone: 'hall-2', labels: { disk: 'ssd' } });
  for (const tenant of ['shop', 'batch']) await lab.tenant(tenant);
  await stand(a, 'shop', 'cart-a', CORES / 4);
  await stand(b, 'shop', 'cart-b', CORES / 4);
  await stand(a, 'batch', 'batch-a', CORES / 2);
  await until('all limits are held and told', async () => (await fields(a, 'batch-a')).cpu === CORES / 2);
  await until(
    'the server has heard of all',
    async () => (await plan('--lift', 'pids')).containers.length === 2,
  );
});
afterAll(() => lab?.close());

async function stand(node: LabNode, tenant: string, name: string, cpu: number): Promise<void> {
  const container = await lab.container(node.name, tenant, name, { conf: { app: name.split('-')[0] } });
  containers.set(name, container);
  await inhabit(lab, container, { limits: { cpu } });
}

/** What the kernel holds, read for this question. */
async function fields(node: LabNode, name: string): Promise<Partial<Record<LimitField, LimitValue>>> {
  const client = localClient(`${node.runDir}/netd.sock`);
  try {
    const { limits } = (await client.request('GET', `/v1/limits/${containers.get(name)?.id}`)) as {
      limits: { fields: { field: LimitField; kernel?: LimitValue }[] }[];
    };
    const known = limits.flatMap((one) => one.fields);
    return Object.fromEntries(known.map(({ field, kernel }) => [field, kernel]));
  } finally {
    client.close();
  }
}

async function sluice<T>(...words: string[]): Promise<T> {
  const { code, stdout, stderr } = await a.sluice([...words, '--json']);
  if (code !== 0) throw new Error(`sluice ${words.join(' ')}: ${code}: ${stdout}${stderr}`);
  return JSON.parse(stdout) as T;
}

const plan = (...words: string[]): Promise<SwitchPlanned> =>
  sluice('switch', 'plan', '--select', 'tenant=shop', '--for', '1m', ...words);
const open = (...words: string[]): Promise<SwitchShown> =>
  sluice('switch', 'open', '--for', '1m', '--reason', 'a test', ...words);
const show = (id: string): Promise<SwitchShown> => sluice('switch', 'show', id);
const close = (id: string): Promise<SwitchShown> => sluice('switch', 'close', id, '--yes');
const states = (effects: readonly SwitchEffect[]): string[] =>
  effects.map(({ node, state }) => `${node} ${state}`).sort();

describe('a switch over two nodes', () => {
  it('is applied in the zone that is chosen, and nowhere else', async () => {
    const {
      switch: one,
      effects,
      settled,
    } = await open(...['--select', 'tenant=shop,zone=hall-2', '--set', 'net.external.out=50Mbit,pids=77']);
    expect([settled, states(effects)]).toEqual([true, ['b applied']]);
    expect(await fields(b, 'cart-b')).toMatchObject({ 'net.external.out': 50_000_000, pids: 77 });
    expect(await fields(a, 'cart-a')).toMatchObject({ 'net.external.out': null, pids: null });
    const closed = await close(one.id);
    expect([closed.settled, closed.phase]).toEqual([true, 'closed']);
    expect(await fields(b, 'cart-b')).toMatchObject({ 'net.external.out': null, pids: null });
  });

  it('says which node is away, and reaches it when it is back', async () => {
    await b.stop();
    await until('b is silent', async () => (await plan('--lift', 'pids')).unreachable.includes('b' as never));
    const { switch: one, effects, settled } = await open('--select', 'tenant=shop', '--set', 'pids=99');
    expect([settled, states(effects)]).toEqual([true, ['a applied', 'b unreachable']]);
    await b.restart({ zone: 'hall-2' });
    await until(
      'b has it too',
      async () => states((await show(one.id)).effects).join() === 'a applied,b applied',
    );
    expect(await fields(b, 'cart-b')).toMatchObject({ pids: 99 });
    await close(one.id);
  });

  it('makes room by squeezing who is below, and gives it back', async () => {
    await sluice('tenant', 'set', 'batch', '--priority', '-10');
    const wish = ['--select', 'tenant=shop,node=a', '--set', `cpu=${CORES * 0.75}`];
    const refused = await a.sluice(['switch', 'open', ...wish, '--for', '1m', '--reason', 'a test']);
    expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining('--squeeze')]);
    const { switch: one, squeezes } = await open(...wish, '--squeeze');
    expect(squeezes).toHaveLength(1);
    expect((await fields(a, 'cart-a')).cpu).toBe(CORES * 0.75);
    expect((await fields(a, 'batch-a')).cpu).toBe(CORES / 4);
    await close(one.id);
    await until('batch has its own again', async () => (await fields(a, 'batch-a')).cpu === CORES / 2);
    expect((await fields(a, 'cart-a')).cpu).toBe(CORES / 4);
    expect(await sluice<SwitchListed[]>('switch', 'list')).toEqual([]);
  });
});
