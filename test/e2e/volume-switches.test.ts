/**
 * Switches over limits of mounts, through a real server and a real netd; what has the mounts is a storaged that is
 * nothing but its socket, so that it can die when a test wants it to.
 */
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { localClient } from '../../linux/api-client.ts';
import { type LocalApi, serveLocal } from '../../linux/local-api.ts';
import type { Limits } from '../../model/limits.ts';
import { silentLog } from '../../model/log.ts';
import { UNLIMITED_VOLUME } from '../../model/mount-limits.ts';
import type { ContainerId, TenantName } from '../../model/names.ts';
import type { MountId } from '../../model/volume.ts';
import { killNow, processOf, until, waitReady } from '../faults/crashes.ts';
import { SimulatedStoraged } from '../support/simulated-storaged.ts';
import { storagedRoutes } from '../support/storaged-routes.ts';

const MB = 1_000_000;
const BLUE = 'blue' as TenantName;
/** A node ends a switch within a second; more is for machines whose disk or CPUs are busy with other things. */
const LATE_MS = 6_000;

const storaged = new SimulatedStoraged();
let lab: Lab;
let node: LabNode;
let cart: LabContainer;
let api: LocalApi | undefined;
let data: MountId;
let logs: MountId;

const serve = async (): Promise<void> => {
  api = await serveLocal(`${node.runDir}/storaged.sock`, storagedRoutes(storaged), silentLog);
};
const rates = (limits: Limits): object => ({ ...UNLIMITED_VOLUME, ...limits });
const held = (id: MountId): object | null | undefined => storaged.mounts.get(id)?.held;
const holds = (id: MountId, limits: Limits): boolean =>
  JSON.stringify(held(id)) === JSON.stringify(rates(limits));
const DATA: Limits = { 'volume.read': 20 * MB, 'volume.writeOps': 400 };
const LOGS: Limits = { 'volume.write': 5 * MB, 'volume.writeOps': 400 };

beforeAll(async () => {
  lab = await createLab({ prefix: 'vlsw', nodes: ['a'] });
  node = lab.node('a');
  await lab.start({ storage: { volumes: 'off' } });
  await lab.tenant(BLUE);
  cart = await lab.container('a', BLUE, 'cart', { conf: { app: 'cart' } });
  data = storaged.mount(1, cart.id as ContainerId, {}, { 'volume.read': 20 * MB });
  logs = storaged.mount(2, cart.id as ContainerId, {}, { 'volume.write': 5 * MB });
  await ran('tenant', 'set', BLUE, '--limit', 'volume.writeOps=400', '--share', 'tenant.volume.read=100MB/s');
  await serve();
});
afterAll(async () => {
  await api?.close();
  await lab?.close();
});

/** @returns what the command printed */
async function ran(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await node.sluice(args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

/** @returns the effects that the server tells of */
async function open(changes: object, forMs: number, select: object = { app: ['cart'] }): Promise<Opened> {
  const client = localClient(`${node.runDir}/server.sock`);
  try {
    const request = { select, changes, forMs, reason: 'a test' };
    return (await client.request('POST', '/v1/switches?waitMs=5000', request)) as Opened;
  } finally {
    client.close();
  }
}
interface Opened {
  readonly switch: { readonly id: string };
  readonly effects: readonly { readonly state: string; readonly why: string | null }[];
}

/** @returns after how many ms it was so */
async function after(what: string, isSo: () => boolean): Promise<number> {
  const begun = performance.now();
  await until(what, isSo);
  return performance.now() - begun;
}

it('holds mounts, and a tenant’s mounts together, from the moment it hears of them', async () => {
  await until('the mounts are held', () => holds(data, DATA) && holds(logs, LOGS));
  await until('their share is held', () => storaged.shares.get(BLUE)?.['volume.read'] === 100 * MB);
});

it('changes them while a switch is open, and ends it on time', async () => {
  const changes = {
    'volume.read': { do: 'scale', factor: 0.5 },
    'volume.write': { do: 'lift' },
    'volume.writeOps': { do: 'set', value: 50 },
  };
  const begun = performance.now();
  const opening = open(changes, 3_000);
  const isOpen = (): boolean =>
    holds(data, { 'volume.read': 10 * MB, 'volume.writeOps': 50 }) && holds(logs, { 'volume.writeOps': 50 });
  const openedMs = await after('it is open', isOpen);
  const { effects } = await opening;
  expect(effects).toEqual([expect.objectContaining({ state: 'applied', why: null })]);
  await until('it has ended', () => holds(data, DATA) && holds(logs, LOGS));
  const endedMs = performance.now() - begun;
  process.stdout.write(
    `a switch over two mounts: held ${Math.round(openedMs)} ms after it was asked for, ended after ${Math.round(endedMs)} of 3000 ms\n`,
  );
  expect(openedMs).toBeLessThan(2_500);
  expect(endedMs).toBeGreaterThan(2_500);
  expect(endedMs).toBeLessThan(3_000 + LATE_MS);
});

it('changes a tenant’s share, and ends that on time', async () => {
  const share = (): number | null | undefined => storaged.shares.get(BLUE)?.['volume.read'];
  await open({ 'tenant.volume.read': { do: 'scale', factor: 2 } }, 2_000, { tenant: [BLUE] });
  await until('it is open', () => share() === 200 * MB);
  await until('it has ended', () => share() === 100 * MB);
});

it('keeps a switch open while netd is dead, and ends it on time when it is back', async () => {
  const begun = performance.now();
  await open({ 'volume.read': { do: 'set', value: MB } }, 4_000);
  await until('it is open', () => holds(data, { ...DATA, 'volume.read': MB }));
  await killNow(processOf(node, 'netd'));
  await waitReady(node);
  expect(held(data)).toEqual(rates({ ...DATA, 'volume.read': MB }));
  await until('it has ended', () => holds(data, DATA));
  expect(performance.now() - begun).toBeLessThan(4_000 + LATE_MS);
});

it('tells of a mount that cannot be changed while storaged is dead, and changes it when it is back', async () => {
  await api?.close();
  storaged.isUp = false;
  const { effects, switch: one } = await open({ 'volume.read': { do: 'set', value: 2 * MB } }, 60_000);
  expect(effects).toEqual([
    expect.objectContaining({ state: 'partly', why: expect.stringContaining('storaged does not answer') }),
  ]);
  expect(held(data)).toEqual(rates(DATA));
  storaged.isUp = true;
  await serve();
  const backMs = await after('it is open', () => holds(data, { ...DATA, 'volume.read': 2 * MB }));
  process.stdout.write(`storaged is back: its mounts are as wanted after ${Math.round(backMs)} ms\n`);
  expect(backMs).toBeLessThan(2_500);
  await ran('switch', 'close', one.id, '--reason', 'enough');
  await until('it has ended', () => holds(data, DATA));
});

it('gives the client that takes a dead one’s place what a switch has said', async () => {
  const { switch: one } = await open({ 'volume.read': { do: 'set', value: 3 * MB } }, 60_000);
  await until('it is open', () => holds(data, { ...DATA, 'volume.read': 3 * MB }));
  storaged.change(data, { held: null, state: 'broken' });
  storaged.tell();
  await until('it is told', async () => (await ran('limits', 'show', 'cart')).includes('its client is dead'));
  storaged.change(data, { held: UNLIMITED_VOLUME, state: 'mounted', replaced: 1 });
  storaged.tell();
  const newMs = await after('it holds', () => holds(data, { ...DATA, 'volume.read': 3 * MB }));
  process.stdout.write(`a new client holds what a switch says after ${Math.round(newMs)} ms\n`);
  await ran('switch', 'close', one.id, '--reason', 'enough');
  await until('it has ended', () => holds(data, DATA));
});

it('repairs within ten seconds what somebody else has changed, and shows each mount by itself', async () => {
  storaged.change(data, { held: { ...UNLIMITED_VOLUME, 'volume.read': 99 * MB } });
  expect(await after('it is repaired', () => holds(data, DATA))).toBeLessThan(10_000);
  const text = await ran('limits', 'show', 'cart');
  expect(text).toContain('volume.read was changed by somebody else, from 20000000 to 99000000');
  expect(text.match(/^volume {5}v0000000000\d\d at \/data$/gm)).toHaveLength(2);
  expect(text).toMatch(/^volume\.read +20MB\/s +mount +- +20MB\/s +20MB\/s$/m);
  expect(text).toMatch(/^volume\.writeOps +400 +plan +- +400 +400$/m);
});
