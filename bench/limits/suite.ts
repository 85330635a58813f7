/** P7.cpu and P7.block: whether a container gets what its limits say, no more and no less. */
import { availableParallelism } from 'node:os';
import { SluiceError } from '../../model/errors.ts';
import { openCgroupKeeper } from '../../qos/cgroup/keeper.ts';
import type { CgroupKeeper, CgroupLimits, ContainerCgroup } from '../../qos/contract.ts';
import type { RowId } from '../catalogue.ts';
import type { Measurement } from '../rows.ts';
import { median } from '../statistics.ts';
import type { SuiteContext } from '../suite.ts';
import { type BareContainer, createContainer } from './container.ts';
import { coresUsed, diskTraffic, openLoopDisk } from './measure.ts';

const DISK = '/var/tmp/slblimits';
/** More than any quota of a machine's cores takes. */
const THREADS_PER_CORE = 2;

/** One limit, and how it is tried out. */
interface Trial {
  readonly name: string;
  readonly limit: CgroupLimits;
  readonly target: number;
  /** In the unit of the target, a second. */
  measure(container: BareContainer, file: string, seconds: number): Promise<number>;
}

const cores = (target: number): Trial => ({
  ...{ name: `${target} cores`, limit: { cpu: target }, target },
  measure: (container, _file, seconds) =>
    coresUsed(container, Math.ceil(target) * THREADS_PER_CORE, Math.max(2, seconds)),
});

const disk = (
  field: 'block.read' | 'block.write' | 'block.readOps' | 'block.writeOps',
  target: number,
  block: number,
): Trial => ({
  ...{ name: `${field} ${target}`, limit: { [field]: target }, target },
  async measure(container, file, seconds): Promise<number> {
    const direction = field.startsWith('block.read') ? 'read' : 'write';
    const how = { file, direction, block, threads: 4, seconds: Math.max(3, seconds + 1) } as const;
    const report = await diskTraffic(container, how);
    return (field.endsWith('Ops') ? report.requests : report.bytes) / report.seconds;
  },
});

const TRIALS = {
  'P7.cpu': [0.1, 0.5, 1, 1.5].filter((one) => one < availableParallelism()).map(cores),
  'P7.block.bytes': [
    ...[disk('block.read', 8_000_000, 65_536), disk('block.write', 8_000_000, 65_536)],
    ...[disk('block.read', 100_000_000, 262_144), disk('block.write', 100_000_000, 262_144)],
  ],
  'P7.block.ops': [
    ...[disk('block.readOps', 200, 4_096), disk('block.writeOps', 200, 4_096)],
    ...[disk('block.readOps', 2_000, 4_096), disk('block.writeOps', 2_000, 4_096)],
  ],
} as const satisfies Partial<Record<RowId, readonly Trial[]>>;
type Id = keyof typeof TRIALS;
const IDS = Object.keys(TRIALS) as Id[];

export async function measureLimits(context: SuiteContext): Promise<Measurement[]> {
  const wanted = IDS.filter((id) => context.wanted.has(id));
  if (wanted.length === 0) return [];
  const loop = await openLoopDisk(DISK);
  const container = createContainer('slblimits');
  try {
    const idle = await container.start(['named', 'idle']);
    idle.go();
    const keeper = openCgroupKeeper();
    const group = await keeper.find(container.hints());
    if (group === undefined) {
      throw new SluiceError('not_found', 'the group of the container is not found', 'see docs/cgroups.md');
    }
    const measurements: Measurement[] = [];
    for (const id of wanted) {
      measurements.push(await measureOne(id, { keeper, group, container, file: loop.file }, context));
    }
    return measurements;
  } finally {
    await container.remove();
    await loop.close();
  }
}

interface Site {
  readonly keeper: CgroupKeeper;
  readonly group: ContainerCgroup;
  readonly container: BareContainer;
  readonly file: string;
}

/** Of each round the ratio that is furthest from 1. */
async function measureOne(id: Id, site: Site, context: SuiteContext): Promise<Measurement> {
  const samples: Record<string, number[]> = {};
  const rounds: number[] = [];
  for (let round = 1; round <= context.rounds; round += 1) {
    const ratios: number[] = [];
    for (const trial of TRIALS[id]) {
      context.signal.throwIfAborted();
      const ratio = (await hold(site, trial, context.seconds)) / trial.target;
      context.progress(`${id} round ${round}/${context.rounds} ${trial.name}: ${ratio.toFixed(3)}`);
      ratios.push(ratio);
      samples[trial.name] = [...(samples[trial.name] ?? []), ratio];
    }
    rounds.push(worst(ratios));
  }
  const value = median(rounds);
  return { id, value, rounds, ours: value, baseline: undefined, details: { samples } };
}

async function hold(
  { keeper, group, container, file }: Site,
  trial: Trial,
  seconds: number,
): Promise<number> {
  const shortfalls = await keeper.apply(group, trial.limit, { mayKill: false });
  const [first] = shortfalls;
  if (first !== undefined) {
    throw new SluiceError('kernel_refused', `${trial.name}: ${first.why}`, 'this kernel cannot be measured');
  }
  try {
    return await trial.measure(container, file, seconds);
  } finally {
    const free = Object.fromEntries(Object.keys(trial.limit).map((field) => [field, null]));
    await keeper.apply(group, free, { mayKill: false });
  }
}

function worst(ratios: readonly number[]): number {
  return ratios.reduce((a, b) => (Math.abs(b - 1) > Math.abs(a - 1) ? b : a));
}
