/** Limits of a real volume under load: an operator's word and a switch, each felt by who writes, and taken back by itself. */
import { readFileSync } from 'node:fs';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { localClient } from '../../linux/api-client.ts';
import { type Daemon, startDaemon } from '../../linux/process.ts';
import { NodeMounts, type VolumeRates } from '../../model/mount-limits.ts';
import { until } from '../faults/crashes.ts';

const MB = 1_000_000;
/** How exactly a rate is held: docs/translator.md. */
const EXACT = 0.05;
/** Over so long it is measured, once it holds. */
const MEASURED_MS = 2_000;
/** By windows of this length it is found when a new rate begins to hold. */
const WINDOW_MS = 200;
/** A window is that short that a single write of 128 KiB counts in it. */
const ROUGHLY = 0.2;

let lab: Lab;
let node: LabNode;
let cart: LabContainer;
let mounted: { readonly id: string; readonly hostPath: string };
let fio: Daemon;

beforeAll(async () => {
  lab = await createLab({ prefix: 'vlfio', nodes: ['a'] });
  node = lab.node('a');
  await node.start();
  await lab.tenant('blue');
  cart = await lab.container('a', 'blue', 'cart', { conf: { app: 'cart' } });
  await ran('volume', 'create', 'data', '--tenant', 'blue', '--size', '1GiB', '--limit', 'write=20MB/s');
  const answer = await ran('volume', 'mount', 'data', '--tenant', 'blue', '--container', cart.id, '--json');
  mounted = JSON.parse(answer) as typeof mounted;
  const load = ['--name=load', `--directory=${mounted.hostPath}`, '--rw=write', '--bs=128k', '--size=200m'];
  // Room that is allocated beforehand counts as written, and would have to be waited for.
  const how = ['--ioengine=psync', '--fallocate=none', '--thread', '--time_based', '--runtime=300'];
  fio = await startDaemon(['fio', ...load, ...how, '--output=/dev/null']);
}, 60_000);
afterAll(async () => {
  await fio?.stop();
  if (lab !== undefined) await node.sluice(['uninstall', '--yes']);
  await lab?.close();
}, 60_000);

/** @returns what the command printed */
async function ran(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await node.sluice(args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

/** Bytes that fio has handed to write(2) and had back (proc(5), /proc/PID/io). */
function written(): number {
  const text = readFileSync(`/proc/${fio.id.pid}/io`, 'utf8');
  return Number(/^wchar: (\d+)$/m.exec(text)?.[1]);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** @returns bytes a second */
async function rateOver(ms: number): Promise<number> {
  const [begun, before] = [performance.now(), written()];
  await pause(ms);
  return ((written() - before) / (performance.now() - begun)) * 1_000;
}

/** @returns after how many ms from `begun` who writes was first held to the rate, at the end of that window */
async function felt(begun: number, rate: number): Promise<number> {
  for (;;) {
    const now = await rateOver(WINDOW_MS);
    if (Math.abs(now / rate - 1) <= ROUGHLY) return performance.now() - begun;
    if (performance.now() - begun > 20_000)
      throw new Error(`${Math.round(now / MB)} MB/s, and never ${rate / MB} MB/s`);
  }
}

/** What the mount's client was read to hold just now. */
async function held(): Promise<VolumeRates | null | undefined> {
  const client = localClient(`${node.runDir}/storaged.sock`);
  try {
    const { mounts } = NodeMounts.parse(await client.request('GET', '/v1/mounts'));
    return mounts.find(({ id }) => id === mounted.id)?.held;
  } finally {
    client.close();
  }
}

const holds = async (rate: number): Promise<boolean> => (await held())?.['volume.write'] === rate;

/** @returns after how many ms from `begun` its client held it */
async function heldAfter(begun: number, rate: number): Promise<number> {
  await until(`the client holds ${rate / MB} MB/s`, () => holds(rate));
  return performance.now() - begun;
}

/** @returns what was measured, which is the rate */
async function expectRate(rate: number): Promise<number> {
  const measured = await rateOver(MEASURED_MS);
  expect(measured / rate).toBeGreaterThan(1 - EXACT);
  expect(measured / rate).toBeLessThan(1 + EXACT);
  return measured;
}

function tell(what: string, heldMs: number, feltMs: number, measured: number, rate: number): void {
  const exact = `${(measured / MB).toFixed(2)} of ${rate / MB} MB/s`;
  process.stdout.write(
    `${what.padEnd(20)} held after ${Math.round(heldMs)} ms, felt after ${Math.round(feltMs)} ms: ${exact}\n`,
  );
}

it('are the volume’s from the first operation', async () => {
  expect(await holds(20 * MB)).toBe(true);
  await pause(1_000);
  tell('first', 0, 0, await expectRate(20 * MB), 20 * MB);
});

it.each([5 * MB, 40 * MB])(
  'are changed by an operator’s word while a file is written: %d bytes a second',
  async (rate) => {
    const begun = performance.now();
    const changing = ran('volume', 'limit', 'data', '--tenant', 'blue', `write=${rate / MB}MB/s`);
    const [heldMs, feltMs] = await Promise.all([heldAfter(begun, rate), felt(begun, rate)]);
    await changing;
    tell(`limit ${rate / MB} MB/s`, heldMs, feltMs, await expectRate(rate), rate);
    expect(feltMs).toBeLessThan(5_000);
  },
  40_000,
);

it('are changed by a switch, and come back by themselves when its time is over', async () => {
  const begun = performance.now();
  const forMs = 6_000;
  const opening = ran(
    ...['switch', 'open', '--select', 'tenant=blue,app=cart', '--set', 'volume.write=10MB/s'],
    ...['--for', `${forMs / 1_000}s`, '--reason', 'a test'],
  );
  const [heldMs, feltMs] = await Promise.all([heldAfter(begun, 10 * MB), felt(begun, 10 * MB)]);
  tell('switch 10 MB/s', heldMs, feltMs, await expectRate(10 * MB), 10 * MB);
  expect(await opening).toContain('applied');
  const ended = begun + forMs;
  const [backMs, feltBackMs] = await Promise.all([heldAfter(ended, 40 * MB), felt(ended, 40 * MB)]);
  tell('its end', backMs, feltBackMs, await expectRate(40 * MB), 40 * MB);
  expect(backMs).toBeGreaterThan(-1_000);
  expect(backMs).toBeLessThan(6_000);
}, 60_000);

it('are shown as the client holds them', async () => {
  const text = await ran('limits', 'show', 'cart');
  expect(text).toMatch(/^volume {5}data$/m);
  expect(text).toMatch(/^volume\.write +40MB\/s +volume +- +40MB\/s +40MB\/s$/m);
});
