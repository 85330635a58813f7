/** P8: what the translator costs where nothing is limited, and how exactly it holds what is. */
import { type BrickClient, type OneBrick, oneBrick } from '../../test/support/one-brick.ts';
import { alternate } from '../alternate.ts';
import type { RowId } from '../catalogue.ts';
import { type Measurement, ratioOf } from '../rows.ts';
import { median } from '../statistics.ts';
import type { SuiteContext } from '../suite.ts';
import { type Load, MOST_JOBS, measureLoad, prepareFiles, type Throughput, type Way } from './fio.ts';

const KIB = 1_024;
const OFF_BYTES = 256 * KIB * KIB;
const NO_LIMITS = 'read-bytes=0,write-bytes=0,read-ops=0,write-ops=0';
/** More than the ramp, the start of fio and a late end take. */
const MARGIN_S = 3;
const LEAST_SECONDS_WHEN_SLOW = 10;

/** Without limits: sequential in blocks of 128 KiB, random in blocks of 4. */
const OFF = {
  'P8.off.seqread': 'read',
  'P8.off.seqwrite': 'write',
  'P8.off.randread': 'randread',
  'P8.off.randwrite': 'randwrite',
} as const satisfies Partial<Record<RowId, Way>>;

interface Target {
  readonly unit: 'bytes' | 'ops';
  readonly rate: number;
}
const ACCURACY = {
  'P8.acc.1MB': { unit: 'bytes', rate: 1e6 },
  'P8.acc.10MB': { unit: 'bytes', rate: 1e7 },
  'P8.acc.100MB': { unit: 'bytes', rate: 1e8 },
  'P8.acc.100ops': { unit: 'ops', rate: 100 },
  'P8.acc.1000ops': { unit: 'ops', rate: 1_000 },
  'P8.acc.5000ops': { unit: 'ops', rate: 5_000 },
} as const satisfies Partial<Record<RowId, Target>>;

/** Of two containers on one volume. */
const TWO = [5e6, 2e7] as const;

type OffId = keyof typeof OFF;
type AccuracyId = keyof typeof ACCURACY;

export async function measureVolumes(context: SuiteContext): Promise<Measurement[]> {
  const off = (Object.keys(OFF) as OffId[]).filter((id) => context.wanted.has(id));
  const accuracy = (Object.keys(ACCURACY) as AccuracyId[]).filter((id) => context.wanted.has(id));
  const two = context.wanted.has('P8.two');
  if (off.length + accuracy.length === 0 && !two) return [];
  context.progress('starting Gluster with one brick in memory');
  await using brick = await oneBrick();
  const ours = await brick.client('ours');
  const measurements: Measurement[] = [];
  if (off.length > 0) {
    const plain = await brick.client('plain', { plain: true });
    await prepareFiles(brick, ours.root, OFF_BYTES);
    for (const id of off) measurements.push(await measureOff(id, { brick, ours, plain }, context));
  }
  for (const id of accuracy) measurements.push(await measureAccuracy(id, brick, ours, context));
  if (two) measurements.push(await measureTwo(brick, ours, context));
  return measurements;
}

interface Rivals {
  readonly brick: OneBrick;
  readonly ours: BrickClient;
  readonly plain: BrickClient;
}

async function measureOff(
  id: OffId,
  { brick, ours, plain }: Rivals,
  context: SuiteContext,
): Promise<Measurement> {
  const way = OFF[id];
  const isRandom = way.startsWith('rand');
  const block = (isRandom ? 4 : 128) * KIB;
  const measure =
    ({ root }: BrickClient) =>
    async (): Promise<number> => {
      context.signal.throwIfAborted();
      const load = { way, block, direct: true, jobs: 1, bytes: OFF_BYTES, seconds: context.seconds };
      const { bytesPerSecond, opsPerSecond } = await measureLoad(brick, { ...load, root });
      return isRandom ? opsPerSecond : bytesPerSecond / 1e6;
    };
  const rivals = new Map([
    ['ours', measure(ours)],
    ['plain', measure(plain)],
  ] as const);
  const samples = await alternate(context.rounds, rivals, (round, name, sample) =>
    context.progress(`${id} round ${round}/${context.rounds} ${name}: ${sample.toFixed(0)}`),
  );
  return ratioOf(id, samples.get('ours') ?? [], samples.get('plain') ?? []);
}

interface Trial extends Load {
  readonly name: string;
  readonly limit: string;
}

/** With large ones, a second at 1 MB/s is but a few. */
function blockOf({ unit, rate }: Target): number {
  if (unit === 'ops') return 4 * KIB;
  return (rate < 1e7 ? 16 : 128) * KIB;
}

const CASES = (['read', 'write'] as const).flatMap((direction) =>
  [true, false].flatMap((direct) => [1, MOST_JOBS].map((jobs) => ({ direction, direct, jobs }))),
);

/** Reading and writing, direct and buffered, by one and by four. */
function trialsOf(target: Target, root: string, wanted: number): Trial[] {
  const { unit, rate } = target;
  // The kernel reads 128 KiB ahead for each reader: what it has at the end and not at the beginning is not to matter.
  const seconds = Math.max(wanted, unit === 'bytes' && rate < 1e7 ? LEAST_SECONDS_WHEN_SLOW : 0);
  const block = blockOf(target);
  // What was read once is read from the page cache.
  const bytes = rate * (unit === 'ops' ? block : 1) * (seconds + MARGIN_S);
  return CASES.map(({ direction, direct, jobs }) => ({
    ...{ root, block, bytes, direct, jobs, seconds },
    name: `${direction} ${direct ? 'direct' : 'buffered'} by ${jobs}`,
    limit: `${direction}-${unit}=${rate}`,
    // Random, since the kernel reads ahead: it would make one operation of many.
    way: unit === 'bytes' ? direction : `rand${direction}`,
  }));
}

async function measureAccuracy(
  id: AccuracyId,
  brick: OneBrick,
  client: BrickClient,
  context: SuiteContext,
): Promise<Measurement> {
  const target = ACCURACY[id];
  const got = ({ bytesPerSecond, opsPerSecond }: Throughput): number =>
    target.unit === 'bytes' ? bytesPerSecond : opsPerSecond;
  const samples: Record<string, number[]> = {};
  const leftOut: string[] = [];
  const rounds: number[] = [];
  const trials = trialsOf(target, client.root, context.seconds);
  await prepareFiles(brick, client.root, trials[0]?.bytes ?? 0);
  for (let round = 1; round <= context.rounds; round += 1) {
    const ratios: number[] = [];
    for (const trial of trials) {
      context.signal.throwIfAborted();
      if (leftOut.includes(trial.name)) continue;
      if (round === 1 && got(await measureLoad(brick, { ...trial, seconds: 1 })) < 1.25 * target.rate) {
        context.progress(`${id} ${trial.name}: the machine does not reach it without any limit`);
        leftOut.push(trial.name);
        continue;
      }
      await client.setLimits(trial.limit);
      const ratio = got(await measureLoad(brick, trial)) / target.rate;
      await client.setLimits(NO_LIMITS);
      context.progress(`${id} round ${round}/${context.rounds} ${trial.name}: ${ratio.toFixed(3)}`);
      ratios.push(ratio);
      samples[trial.name] = [...(samples[trial.name] ?? []), ratio];
    }
    rounds.push(worst(ratios));
  }
  const value = median(rounds);
  return { id, value, rounds, ours: value, baseline: undefined, details: { samples, leftOut } };
}

async function measureTwo(brick: OneBrick, one: BrickClient, context: SuiteContext): Promise<Measurement> {
  const other = await brick.client('other');
  const load = { way: 'write', block: 64 * KIB, direct: true, jobs: 1, bytes: 64 * KIB * KIB } as const;
  const rounds: number[] = [];
  const samples: number[][] = [];
  for (let round = 1; round <= context.rounds; round += 1) {
    context.signal.throwIfAborted();
    await one.setLimits(`write-bytes=${TWO[0]}`);
    await other.setLimits(`write-bytes=${TWO[1]}`);
    const both = [one, other].map(({ root }) =>
      measureLoad(brick, { ...load, root, seconds: context.seconds }),
    );
    const ratios = (await Promise.all(both)).map(({ bytesPerSecond }, i) => bytesPerSecond / (TWO[i] ?? 1));
    context.progress(
      `P8.two round ${round}/${context.rounds}: ${ratios.map((one) => one.toFixed(3)).join(', ')}`,
    );
    samples.push(ratios);
    rounds.push(worst(ratios));
  }
  const value = median(rounds);
  return {
    id: 'P8.two',
    value,
    rounds,
    ours: value,
    baseline: undefined,
    details: { targets: TWO, samples },
  };
}

function worst(ratios: readonly number[]): number {
  return ratios.reduce((a, b) => (Math.abs(b - 1) > Math.abs(a - 1) ? b : a), 1);
}
