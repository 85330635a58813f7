/** G1: what the egress guard costs a flow to the outside, new and established; two tenants of one node in turn. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createLab, type Lab } from '../../lab/lab.ts';
import { localClient } from '../../linux/api-client.ts';
import { SluiceError } from '../../model/errors.ts';
import type { GuardRules } from '../../model/guard.ts';
import type { TenantName } from '../../model/names.ts';
import { alternate } from '../alternate.ts';
import type { RowId } from '../catalogue.ts';
import { connectionRate, type Path, type PathMeasure, roundTrip, throughput } from '../paths/measures.ts';
import { type Measurement, ratioOf } from '../rows.ts';
import type { SuiteContext } from '../suite.ts';
import { figure } from '../table.ts';

const MEASURES = {
  'G1.connect': connectionRate,
  'G1.rr': roundTrip,
  'G1.tcp': throughput,
} as const satisfies Partial<Record<RowId, PathMeasure>>;
const IDS = Object.keys(MEASURES) as (keyof typeof MEASURES)[];

const RIVALS = ['guarded', 'free'] as const;
type Rival = (typeof RIVALS)[number];

/** Names must be read of every flow, and no flow has this one. */
const RULES: Pick<GuardRules, 'tenant' | 'egress' | 'rules' | 'default'> = {
  tenant: 'guarded' as TenantName,
  egress: [],
  rules: [{ name: 'named', match: { domain: '*.refused.example' }, verdict: 'deny' }],
  default: 'allow',
};
/** Connections that are over stay in the kernel's table for a while, and there are ten thousands of them. */
const PLENTY = 1_000_000;
const ROOM = {
  network: { conntrackPerEndpoint: PLENTY, conntrackPerTenant: PLENTY, newFlowsPerSecond: PLENTY },
};

export async function measureGuard(context: SuiteContext): Promise<Measurement[]> {
  const wanted = IDS.filter((id) => context.wanted.has(id));
  if (wanted.length === 0) return [];
  const lab = await createLab({ prefix: 'slbgrd', nodes: ['a'] });
  try {
    context.progress('starting 1 node');
    const paths = await buildPaths(lab, context.signal);
    const measurements: Measurement[] = [];
    for (const id of wanted) measurements.push(await measureOne(id, paths, context));
    return measurements;
  } finally {
    await lab.close();
  }
}

async function measureOne(
  id: keyof typeof MEASURES,
  paths: Readonly<Record<Rival, Path>>,
  context: SuiteContext,
): Promise<Measurement> {
  const rivals = new Map(RIVALS.map((rival) => [rival, () => MEASURES[id](paths[rival], context)]));
  const samples = await alternate(context.rounds, rivals, (round, rival, sample) => {
    context.progress(`${id} round ${round}/${context.rounds} ${rival}: ${figure(sample)}`);
  });
  return ratioOf(id, samples.get('guarded') ?? [], samples.get('free') ?? []);
}

async function buildPaths(lab: Lab, signal: AbortSignal): Promise<Record<Rival, Path>> {
  await lab.start(ROOM);
  for (const tenant of RIVALS) await lab.tenant(tenant);
  const to = { netns: lab.internet.netns, internal: lab.internet.address };
  const guarded = { from: await lab.container('a', 'guarded', 'guarded'), to };
  const free = { from: await lab.container('a', 'free', 'free'), to };
  await setRules(lab);
  await guardStands(lab, signal);
  return { guarded, free };
}

async function setRules(lab: Lab): Promise<void> {
  const client = localClient(`${lab.node('a').runDir}/server.sock`);
  try {
    await client.request('PUT', `/v1/guards/${RULES.tenant}`, RULES);
  } finally {
    client.close();
  }
}

const STANDS_WITHIN_MS = 15_000;

/** Both daemons have heard of the rules: packets of the guarded tenant are led to a guard that judges them. */
async function guardStands(lab: Lab, signal: AbortSignal): Promise<void> {
  const node = lab.node('a');
  const client = localClient(`${node.runDir}/tagqueue.sock`);
  try {
    for (const until = performance.now() + STANDS_WITHIN_MS; performance.now() < until; await sleep(20)) {
      signal.throwIfAborted();
      const { guard } = (await client.request('GET', '/v1/status')) as { guard?: { ready: boolean } };
      const set = await node.exec(['nft', 'list', 'set', 'ip', 'sluice_a', 'guarded']);
      if (guard?.ready === true && set.includes('elements')) return;
    }
  } finally {
    client.close();
  }
  throw new SluiceError('not_ready', 'the guard did not come up', 'see the log of the node');
}
