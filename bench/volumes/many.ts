/** P8.many: what fifty volumes take on one node: memory of Gluster, time until they are there, time to ask how they are. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createLab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { type ApiClient, localClient } from '../../linux/api-client.ts';
import { readTextIfThere } from '../../linux/files.ts';
import { runOk } from '../../linux/process.ts';
import { SluiceError } from '../../model/errors.ts';
import { LEAST_VOLUME_BYTES, VolumeShown } from '../../model/volume-request.ts';
import { typed } from '../../test/support/storage-lab.ts';
import type { RowId } from '../catalogue.ts';
import { parseRollup } from '../memory/processes.ts';
import type { Measurement } from '../rows.ts';
import { median, rounded } from '../statistics.ts';
import type { SuiteContext } from '../suite.ts';
import { TENANT } from './creation.ts';
import { type GlusterProgram, glusterOn, type NodesGluster } from './gluster.ts';

const IDS = ['P8.many.ready', 'P8.many.memory', 'P8.many.status', 'P8.many.list'] as const;
const VOLUMES = 50;
/** Then it goes on with those that are there, and says how many. */
const WITHIN_MS = 150_000;
/** The server answers as soon as a volume is ready. */
const WAIT_MS = 5_000;
/** What was needed to start has been given back by then. */
const IDLE_MS = 3_000;
const ASKED = 5;
const MEGABYTE = 1e6;
const PROGRAMS: readonly GlusterProgram[] = ['glusterd', 'glusterfsd', 'glusterfs'];

export async function measureMany(context: SuiteContext): Promise<Measurement[]> {
  const wanted = IDS.filter((id) => context.wanted.has(id));
  if (wanted.length === 0) return [];
  const { progress, signal } = context;
  const lab = await createLab({ prefix: 'slbvmn', nodes: ['a'] });
  const node = lab.node('a');
  const server = localClient(`${node.runDir}/server.sock`);
  try {
    progress(`P8.many starting a node, for ${VOLUMES} volumes`);
    // Nothing is written to them, so that a disk of any size will do.
    await node.start({ config: { storage: { overcommit: 100 } } });
    await lab.tenant(TENANT);
    await typed(node, 'volume', 'create', 'first', '--tenant', TENANT, '--size', '1GiB', '--thin');
    const gluster = await glusterOn(node);
    const before = await weighIdle(gluster, signal);
    const { ready, ms } = await makeMany(server, context);
    if (ready < 2) throw new SluiceError('not_ready', 'P8.many: no volume got ready', `see ${node.logFile}`);
    progress(`P8.many ${ready} of ${VOLUMES} volumes after ${(ms / 1_000).toFixed(1)} s`);
    await requireServing(gluster, ready);
    const after = await weighIdle(gluster, signal);
    const asked = await askTimes(node, gluster);
    return rowsOf({ ready, ms, before, after, ...asked }).filter(({ id }) => context.wanted.has(id));
  } finally {
    server.close();
    await lab.close();
  }
}

/** One after the other. @returns how many are there, the first one too, and how long that took */
async function makeMany(
  server: ApiClient,
  { progress, signal }: SuiteContext,
): Promise<{ ready: number; ms: number }> {
  const began = performance.now();
  const passed = (): number => performance.now() - began;
  let ready = 1;
  while (ready < VOLUMES && passed() < WITHIN_MS) {
    signal.throwIfAborted();
    const wish = { tenant: TENANT, name: `v${ready}`, sizeBytes: LEAST_VOLUME_BYTES, thin: true };
    let shown = VolumeShown.parse(await server.request('POST', `/v1/volumes?waitMs=${WAIT_MS}`, wish));
    while (shown.volume.phase !== 'ready' && passed() < WITHIN_MS) {
      const path = `/v1/volumes/${shown.volume.id}?waitMs=${WAIT_MS}`;
      shown = VolumeShown.parse(await server.request('GET', path));
    }
    if (shown.volume.phase !== 'ready') break;
    ready += 1;
    if (ready % 10 === 0) progress(`P8.many ${ready} of ${VOLUMES} after ${(passed() / 1_000).toFixed(1)} s`);
  }
  return { ready, ms: passed() };
}

/** @throws SluiceError `check_failed` when a brick has no process */
async function requireServing(gluster: NodesGluster, volumes: number): Promise<void> {
  const { up, down } = await gluster.serving('all');
  if (up >= volumes) return;
  throw new SluiceError(
    'check_failed',
    `P8.many: ${down} of ${volumes} bricks do not serve`,
    'see the log of the node',
  );
}

/** Of each program all its processes; bytes. */
type Weights = Readonly<Record<GlusterProgram, { readonly processes: number; readonly bytes: number }>>;

async function weighIdle(gluster: NodesGluster, signal: AbortSignal): Promise<Weights> {
  await sleep(IDLE_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  const of = (program: GlusterProgram): Weights[GlusterProgram] => {
    const all = gluster.processes(program);
    return { processes: all.length, bytes: all.reduce((sum, { pid }) => sum + pssOf(pid), 0) };
  };
  return { glusterd: of('glusterd'), glusterfsd: of('glusterfsd'), glusterfs: of('glusterfs') };
}

function pssOf(pid: number): number {
  return parseRollup(readTextIfThere(`/proc/${pid}/smaps_rollup`) ?? '').get('Pss') ?? 0;
}

interface Asked {
  readonly statusMs: readonly number[];
  readonly listMs: readonly number[];
}

async function askTimes(node: LabNode, { inside }: NodesGluster): Promise<Asked> {
  const status = ['gluster', '--mode=script', 'volume', 'status', 'all', 'detail'] as const;
  const statusMs = await timed(() => runOk(inside(status), { timeoutMs: 120_000 }));
  return { statusMs, listMs: await timed(() => typed(node, 'volume', 'list')) };
}

async function timed(work: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let left = ASKED; left > 0; left -= 1) {
    const began = performance.now();
    await work();
    times.push(performance.now() - began);
  }
  return times;
}

interface Found extends Asked {
  readonly ready: number;
  readonly ms: number;
  readonly before: Weights;
  readonly after: Weights;
}

function rowsOf({ ready, ms, before, after, statusMs, listMs }: Found): Measurement[] {
  const grown = (program: GlusterProgram): number => after[program].bytes - before[program].bytes;
  const each = PROGRAMS.reduce((sum, program) => sum + grown(program), 0) / (ready - 1) / MEGABYTE;
  const shownWeights = (weights: Weights): object =>
    Object.fromEntries(
      PROGRAMS.map((program) => {
        const { processes, bytes } = weights[program];
        return [program, { processes, pssMegabytes: rounded(bytes / MEGABYTE) }];
      }),
    );
  const row = (id: RowId, rounds: readonly number[], details: object = {}): Measurement => {
    const value = median(rounds);
    return { id, value, rounds, ours: value, baseline: undefined, details: { volumes: ready, ...details } };
  };
  return [
    row('P8.many.ready', [ms], { wanted: VOLUMES }),
    row('P8.many.memory', [each], { withOne: shownWeights(before), withAll: shownWeights(after) }),
    row('P8.many.status', statusMs),
    row('P8.many.list', listMs),
  ];
}
