/** P8 on four nodes: making volumes, and what writers notice when a brick's process dies, or a host goes and comes back. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLab, type Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { UPLINK } from '../../lab/topology.ts';
import { runOk } from '../../linux/process.ts';
import { SluiceError } from '../../model/errors.ts';
import { glusterName } from '../../model/volume.ts';
import type { VolumeShown } from '../../model/volume-request.ts';
import { mount, shown, typed } from '../../test/support/storage-lab.ts';
import type { RowId } from '../catalogue.ts';
import type { Measurement } from '../rows.ts';
import { median } from '../statistics.ts';
import type { SuiteContext } from '../suite.ts';
import { type Creation, createAndMount, creationRow, TENANT, toldOf } from './creation.ts';
import { glusterOn } from './gluster.ts';
import { writtenWhile } from './verified.ts';

const FOUR = { first: 'P8.create.four.first', later: 'P8.create.four.later' } as const;
const IDS = [FOUR.first, FOUR.later, 'P8.kill', 'P8.cut', 'P8.heal'] as const;

const VOLUME = 'shared';
/** Two copies and an arbiter: a host that has one of them misses all that is written. */
const TWICE = 'twice';
const HEALED = 2 ** 30;
/** A host that is cut off is missed after five seconds, and must come back and catch up before the next round. */
const MOST_CUTS = 3;
const AS_LONG_MS = 2_000;
const WHOLE_WITHIN_MS = 120_000;
const LOOK_EVERY_MS = 500;
const NOTHING = { up: 0, down: 0 };

interface Cluster {
  readonly lab: Lab;
  /** Where the writer is, which has the server, too: never cut off. */
  readonly here: LabNode;
  readonly hostPath: string;
  /** The same volume on another node. */
  readonly elsewhere: string;
  readonly context: SuiteContext;
}

export async function measureOnFour(context: SuiteContext): Promise<Measurement[]> {
  const wanted = IDS.filter((id) => context.wanted.has(id));
  if (wanted.length === 0) return [];
  const lab = await createLab({ prefix: 'slbvol', nodes: ['a', 'b', 'c', 'd'] });
  try {
    context.progress('P8 starting four storage nodes');
    await lab.start({ storage: { bricks: 'on' } });
    await lab.tenant(TENANT);
    const made = await measureCreation(lab, context);
    const losses = wanted.filter((id) => id !== FOUR.first && id !== FOUR.later);
    if (losses.length === 0) return made;
    const cluster = await mountTwice(lab, context);
    const found: Measurement[] = [];
    if (wanted.includes('P8.kill')) found.push(await measureKill(cluster));
    if (wanted.includes('P8.cut')) found.push(await measureCut(cluster));
    if (wanted.includes('P8.heal')) found.push(await measureHeal(cluster));
    return [...made, ...found];
  } finally {
    await lab.close();
  }
}

/** The first starts Gluster on all nodes, once; those before stay when a later one is made. */
async function measureCreation(lab: Lab, context: SuiteContext): Promise<Measurement[]> {
  const { wanted, rounds, progress, signal } = context;
  if (!wanted.has(FOUR.first) && !wanted.has(FOUR.later)) return [];
  const container = await lab.container('a', TENANT, 'maker');
  const samples: Creation[] = [];
  for (let round = 0; round <= (wanted.has(FOUR.later) ? rounds : 0); round += 1) {
    signal.throwIfAborted();
    const sample = await createAndMount(lab.node('a'), `v${round}`, container);
    samples.push(sample);
    progress(`P8.create.four ${round === 0 ? 'first' : `round ${round}/${rounds}`}: ${toldOf(sample)}`);
  }
  const [first, ...later] = samples;
  const rows = [
    ...(first === undefined ? [] : [creationRow(FOUR.first, [first])]),
    ...(later.length === 0 ? [] : [creationRow(FOUR.later, later)]),
  ];
  return rows.filter(({ id }) => wanted.has(id));
}

async function mountTwice(lab: Lab, context: SuiteContext): Promise<Cluster> {
  const here = lab.node('a');
  await typed(here, ...createArgs(VOLUME, '1GiB'));
  const { hostPath } = await mount(here, VOLUME, await lab.container('a', TENANT, 'writer'));
  const other = await mount(lab.node('c'), VOLUME, await lab.container('c', TENANT, 'reader'));
  return { lab, here, hostPath, elsewhere: other.hostPath, context };
}

function createArgs(name: string, size: string, ...more: readonly string[]): string[] {
  return ['volume', 'create', name, '--tenant', TENANT, '--size', size, '--thin', ...more];
}

/** Nothing happens; then the process of a brick that has the file dies, of either copy in turn. */
async function measureKill(cluster: Cluster): Promise<Measurement> {
  const { context } = cluster;
  const [killed, calm]: [number[], number[]] = [[], []];
  for (let round = 1; round <= context.rounds; round += 1) {
    calm.push(await stallOf(cluster, `calm-${round}`, () => sleep(AS_LONG_MS)));
    const kill = async (): Promise<void> => {
      const holders = await holdersOf(cluster, `kill-${round}`);
      const victim = holders[round % holders.length];
      if (victim === undefined) throw failed('P8.kill: no brick has the file');
      for (const { pid } of (await glusterOn(victim)).processes('glusterfsd')) process.kill(pid, 'SIGKILL');
      await sleep(AS_LONG_MS);
    };
    killed.push(await stallOf(cluster, `kill-${round}`, kill, async () => void (await untilWhole(cluster))));
    context.progress(`P8.kill round ${round}/${context.rounds}: ${killed.at(-1)} ms, without ${calm.at(-1)}`);
  }
  return stallRow('P8.kill', killed, calm);
}

async function measureCut(cluster: Cluster): Promise<Measurement> {
  const { context, here } = cluster;
  const [cut, calm]: [number[], number[]] = [[], []];
  const rounds = Math.min(context.rounds, MOST_CUTS);
  for (let round = 1; round <= rounds; round += 1) {
    calm.push(await stallOf(cluster, `still-${round}`, () => sleep(AS_LONG_MS)));
    let victim: LabNode | undefined;
    const cutOff = async (): Promise<void> => {
      victim = (await holdersOf(cluster, `cut-${round}`)).find(({ name }) => name !== here.name);
      if (victim === undefined) throw failed('P8.cut: no other node has the file');
      await link(victim, 'down');
      await sleep(AS_LONG_MS);
    };
    const bringBack = async (): Promise<void> => {
      if (victim !== undefined) await link(victim, 'up');
      await untilWhole(cluster);
    };
    cut.push(await stallOf(cluster, `cut-${round}`, cutOff, bringBack));
    context.progress(`P8.cut round ${round}/${rounds}: ${cut.at(-1)} ms, without ${calm.at(-1)}`);
  }
  return stallRow('P8.cut', cut, calm);
}

/** A host that has a copy misses 1 GiB: from its return until Gluster has nothing left to heal. */
async function measureHeal(cluster: Cluster): Promise<Measurement> {
  const { lab, here, context } = cluster;
  await typed(here, ...createArgs(TWICE, '3GiB', '--layout', 'arbiter'));
  const { hostPath } = await mount(here, TWICE, await lab.container('a', TENANT, 'heals'));
  const file = `${hostPath}/missed`;
  await runOk(['dd', 'if=/dev/zero', `of=${file}`, 'bs=4k', 'count=1', 'conv=fsync']);
  const victim = (await holdersOf(cluster, 'missed', TWICE)).find(({ name }) => name !== here.name);
  if (victim === undefined) throw failed('P8.heal: no other node has the file');
  await untilWhole(cluster, TWICE);
  context.progress(`P8.heal writing 1 GiB while node ${victim.name} is away`);
  await link(victim, 'down');
  try {
    const words = [`of=${file}`, 'bs=1M', `count=${HEALED / 2 ** 20}`, 'conv=fsync,notrunc'];
    await runOk(['dd', 'if=/dev/urandom', ...words], { timeoutMs: WHOLE_WITHIN_MS });
  } finally {
    await link(victim, 'up');
  }
  const back = performance.now();
  const { pending } = await untilWhole(cluster, TWICE);
  const ms = performance.now() - back;
  if (pending === 0) throw failed('P8.heal: there was nothing to heal');
  context.progress(`P8.heal ${pending} files and pieces in ${(ms / 1_000).toFixed(1)} s`);
  return { id: 'P8.heal', value: ms, rounds: [ms], ours: ms, baseline: undefined, details: { pending } };
}

/** ms of the longest record, all of which are there in the end. */
async function stallOf(
  cluster: Cluster,
  file: string,
  happening: () => Promise<void>,
  mended: () => Promise<void> = async () => undefined,
): Promise<number> {
  const { hostPath, elsewhere, context } = cluster;
  context.signal.throwIfAborted();
  const witness = { elsewhere, signal: context.signal };
  return (await writtenWhile(hostPath, file, witness, happening, mended)).longestMs;
}

/** Nodes with a data brick on which the file is. */
async function holdersOf({ lab, here }: Cluster, file: string, name = VOLUME): Promise<LabNode[]> {
  const { bricks, volume } = await shownVolume(here, name);
  const holders: LabNode[] = [];
  for (const [index, { brick, node: where }] of bricks.entries()) {
    if (brick?.path === undefined || volume.bricks[index]?.role !== 'data') continue;
    const node = lab.node(where);
    if (existsSync((await glusterOn(node)).path(`${brick.path}/${file}`))) holders.push(node);
  }
  return holders;
}

/** Every brick serves, and no copy has anything to catch up with. @returns the most that was still to be healed */
async function untilWhole({ here, context }: Cluster, of = VOLUME): Promise<{ pending: number }> {
  const gluster = await glusterOn(here);
  const name = glusterName((await shownVolume(here, of)).volume.id);
  let most = 0;
  for (const deadline = performance.now() + WHOLE_WITHIN_MS; ; await sleep(LOOK_EVERY_MS)) {
    context.signal.throwIfAborted();
    // Gluster refuses to tell while its nodes do not agree.
    const { up, down } = await gluster.serving(name).catch(() => NOTHING);
    const pending = up > 0 && down === 0 ? await gluster.toHeal(name).catch(() => undefined) : undefined;
    most = Math.max(most, pending ?? 0);
    if (pending === 0) return { pending: most };
    if (performance.now() > deadline) throw failed('a brick does not come back, or does not heal');
  }
}

async function shownVolume(node: LabNode, name: string): Promise<VolumeShown> {
  const found = await shown(node, name);
  if (found === undefined) throw failed('the volume is gone');
  return found;
}

async function link({ namespace }: LabNode, state: 'up' | 'down'): Promise<void> {
  await runOk(['ip', '-netns', namespace, 'link', 'set', UPLINK, state]);
}

function stallRow(id: RowId, rounds: readonly number[], calm: readonly number[]): Measurement {
  const value = median(rounds);
  const details = { longestMs: Math.max(...rounds), withoutMs: calm };
  return { id, value, rounds, ours: value, baseline: median(calm), details };
}

function failed(what: string): SluiceError {
  return new SluiceError('check_failed', what, 'see the logs of the nodes');
}
