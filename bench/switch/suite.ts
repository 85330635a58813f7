/** P7.switch: how long a switch takes on a node with many containers, from the command to the last read-back. */
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { type Inhabitant, inhabit } from '../../lab/inhabitant.ts';
import { createLab, type Lab } from '../../lab/lab.ts';
import { type ApiClient, localClient } from '../../linux/api-client.ts';
import { SluiceError } from '../../model/errors.ts';
import type { Measurement } from '../rows.ts';
import { median, rounded } from '../statistics.ts';
import type { SuiteContext } from '../suite.ts';

const CONTAINERS = 200;
const TENANT = 'blue';
/** So many are attached at one time. */
const AT_ONCE = 8;
/** As a container with limits of its own has them: everything that the switch changes is there before. */
const BASE = { cpu: 0.5, memory: 64 * 2 ** 20, pids: 100, 'net.external.out': 1e8, 'net.internal.out': 1e8 };
/** Five fields of each container: 400 files and 400 classes. */
const CHANGES = {
  cpu: { do: 'set', value: 1 },
  memory: { do: 'scale', factor: 2 },
  pids: { do: 'set', value: 200 },
  'net.external.out': { do: 'scale', factor: 2 },
  'net.internal.out': { do: 'lift' },
} as const;
const WAIT_MS = 10_000;
const SETTLED_WITHIN_MS = 60_000;

const Shown = z.object({
  switch: z.object({ id: z.string() }),
  settled: z.boolean(),
  effects: z.array(z.object({ state: z.string(), why: z.string().nullable() })),
});
type Shown = z.infer<typeof Shown>;

/** One switch, opened and closed again; ms. */
interface Round {
  readonly openMs: number;
  readonly closeMs: number;
}

export async function measureSwitch(context: SuiteContext): Promise<Measurement[]> {
  if (!context.wanted.has('P7.switch')) return [];
  const lab = await createLab({ prefix: 'slbsw', nodes: ['a'] });
  const server = localClient(`${lab.node('a').runDir}/server.sock`);
  try {
    const inhabitants = await build(lab, server, context);
    const rounds: Round[] = [];
    for (let round = 1; round <= context.rounds; round += 1) {
      context.signal.throwIfAborted();
      const found = await openAndClose(server, inhabitants);
      rounds.push(found);
      const told = `opened in ${found.openMs.toFixed(0)} ms, closed in ${found.closeMs.toFixed(0)} ms`;
      context.progress(`P7.switch round ${round}/${context.rounds}: ${told}`);
    }
    return [measurementOf(rounds)];
  } finally {
    server.close();
    await lab.close();
  }
}

async function build(
  lab: Lab,
  server: ApiClient,
  { progress, signal }: SuiteContext,
): Promise<readonly Inhabitant[]> {
  progress(`starting a node with ${CONTAINERS} containers`);
  await lab.start();
  await lab.tenant(TENANT);
  await server.request('PUT', `/v1/plans/${TENANT}`, { tenant: TENANT, container: BASE });
  const all: Inhabitant[] = [];
  for (let first = 0; first < CONTAINERS; first += AT_ONCE) {
    signal.throwIfAborted();
    const some = Array.from({ length: Math.min(AT_ONCE, CONTAINERS - first) }, (_, index) => first + index);
    const attached = some.map(async (number) => inhabit(lab, await lab.container('a', TENANT, `c${number}`)));
    all.push(...(await Promise.all(attached)));
  }
  progress('P7.switch waiting until all of them are held to their limits');
  await allHeld(server, signal);
  requireKernel(all, BASE.pids);
  return all;
}

const Reported = z.object({
  items: z.array(
    z.object({ effective: z.record(z.string(), z.unknown()), shortfalls: z.array(z.unknown()) }),
  ),
  next: z.string().nullable(),
});

/** @throws SluiceError `not_ready` */
async function allHeld(server: ApiClient, signal: AbortSignal): Promise<void> {
  for (const until = performance.now() + SETTLED_WITHIN_MS; performance.now() < until; await sleep(200)) {
    signal.throwIfAborted();
    const { items } = Reported.parse(await server.request('GET', `/v1/limits?limit=${2 * CONTAINERS}`));
    if (items.filter(({ shortfalls }) => shortfalls.length === 0).length === CONTAINERS) return;
  }
  throw new SluiceError('not_ready', 'some containers are not held to their limits', 'see the log of netd');
}

async function openAndClose(server: ApiClient, inhabitants: readonly Inhabitant[]): Promise<Round> {
  const opening = performance.now();
  const opened = Shown.parse(
    await server.request('POST', `/v1/switches?waitMs=${WAIT_MS}`, {
      ...{ select: { tenant: [TENANT] }, changes: CHANGES, forMs: 600_000, all: true, force: true },
      reason: 'benchmark',
    }),
  );
  const openMs = performance.now() - opening;
  requireAll(opened);
  requireKernel(inhabitants, CHANGES.pids.value);
  const closing = performance.now();
  const closed = Shown.parse(
    await server.request('POST', `/v1/switches/${opened.switch.id}/close?waitMs=${WAIT_MS}`, {
      reason: 'benchmark',
    }),
  );
  const closeMs = performance.now() - closing;
  if (!closed.settled) throw failed('the switch did not end everywhere');
  requireKernel(inhabitants, BASE.pids);
  return { openMs, closeMs };
}

function requireAll({ settled, effects }: Shown): void {
  const applied = effects.filter(({ state }) => state === 'applied');
  if (settled && applied.length === CONTAINERS) return;
  const other = effects.find(({ state }) => state !== 'applied');
  throw failed(`applied at ${applied.length} of ${CONTAINERS} containers: ${JSON.stringify(other)}`);
}

/** What is reported must be what is there. */
function requireKernel(inhabitants: readonly Inhabitant[], pids: number): void {
  const wrong = inhabitants.filter(({ kernel }) => kernel('pids.max') !== String(pids));
  if (wrong.length > 0) throw failed(`${wrong.length} containers have other limits than is said`);
}

function measurementOf(rounds: readonly Round[]): Measurement {
  const worst = rounds.map(({ openMs, closeMs }) => Math.max(openMs, closeMs));
  const value = median(worst);
  const of = (one: keyof Round): number[] => rounds.map((round) => rounded(round[one]));
  return {
    ...{ id: 'P7.switch', value, rounds: worst, ours: value, baseline: undefined },
    details: { containers: CONTAINERS, openMs: of('openMs'), closeMs: of('closeMs') },
  };
}

function failed(message: string): SluiceError {
  return new SluiceError('check_failed', `P7.switch: ${message}`, 'see the log of netd');
}
