/** P8.acc and P8.two: how exactly the translator holds what is limited. */
import type { BrickClient, OneBrick } from '../../test/support/one-brick.ts';
import type { RowId } from '../catalogue.ts';
import type { Measurement } from '../rows.ts';
import { median, rounded } from '../statistics.ts';
import type { SuiteContext } from '../suite.ts';
import { figure } from '../table.ts';
import { type Load, measureLoad, measureLoads, prepareFiles, type Throughput, type Way } from './fio.ts';

const KIB = 1_024;
const NO_LIMITS = 'read-bytes=0,write-bytes=0,read-ops=0,write-ops=0';
/** What was saved up before, 100 ms' worth, is used up by then. */
const RAMP_MS = 500;
/** More than the ramp, the start of fio and a late end take. */
const MARGIN_S = 3;
const LEAST_SECONDS_WHEN_SLOW = 10;
/** Of the plain mount, right before and after each. */
const PLAIN_MS = 400;
/** What the plain mount has beyond the limit, or it is the machine that is measured. */
const ROOM = 1.25;
/** Nothing is compared that others could disturb differently: more rounds tell little. */
const MOST_ROUNDS = 3;

interface Target {
  readonly unit: 'bytes' | 'ops';
  readonly rate: number;
  /** All ways at the same time, each through a client of its own: together they are no load. */
  readonly atOnce?: boolean;
}
const TARGETS = {
  'P8.acc.1MB': { unit: 'bytes', rate: 1e6, atOnce: true },
  'P8.acc.10MB': { unit: 'bytes', rate: 1e7, atOnce: true },
  'P8.acc.100MB': { unit: 'bytes', rate: 1e8 },
  'P8.acc.100ops': { unit: 'ops', rate: 100, atOnce: true },
  'P8.acc.1000ops': { unit: 'ops', rate: 1_000 },
  'P8.acc.5000ops': { unit: 'ops', rate: 5_000 },
} as const satisfies Partial<Record<RowId, Target>>;
export type AccuracyId = keyof typeof TARGETS;
export const ACCURACY_IDS = Object.keys(TARGETS) as AccuracyId[];

const MOST_JOBS = 4;
/** One of four may get so much more than a quarter. */
const UNEVEN = 1.5;
/** Reading and writing, direct and buffered, by one and by four. */
const WAYS = (['read', 'write'] as const).flatMap((direction) =>
  [true, false].flatMap((direct) => [1, MOST_JOBS].map((jobs) => ({ direction, direct, jobs }))),
);

interface Trial extends Omit<Load, 'root'> {
  readonly name: string;
  readonly limit: string;
}

/** With large ones, a second at 1 MB/s is but a few. */
function blockOf({ unit, rate }: Target): number {
  if (unit === 'ops') return 4 * KIB;
  return (rate < 1e7 ? 16 : 128) * KIB;
}

function trialsOf(target: Target, wanted: number): Trial[] {
  const { unit, rate, atOnce = false } = target;
  // What is under way, or read ahead, at the beginning and at the end is not to matter.
  const seconds = Math.max(wanted, atOnce ? LEAST_SECONDS_WHEN_SLOW : 0);
  const block = blockOf(target);
  // What was read once is read from the page cache.
  const bytes = rate * (unit === 'ops' ? block : 1) * (seconds + MARGIN_S);
  return WAYS.map(({ direction, direct, jobs }, index) => ({
    ...{ block, direct, jobs, ms: seconds * 1_000, rampMs: RAMP_MS },
    bytes: atOnce ? (bytes * UNEVEN) / jobs : bytes,
    files: atOnce ? `way${index}` : 'bench',
    name: `${direction} ${direct ? 'direct' : 'buffered'} by ${jobs}`,
    limit: `${direction}-${unit}=${rate}`,
    // Random, since the kernel reads ahead: it would make one operation of many, and at 1 MB/s what it has ahead of four
    // readers is a twentieth of all.
    way: unit === 'bytes' && rate >= 1e7 ? direction : (`rand${direction}` as Way),
  }));
}

/** What came through, and what the plain mount carries in that way; in the target's unit per second. */
interface Sample {
  readonly limited: number;
  readonly plain: number;
}
type Round = ReadonlyMap<string, Sample>;

/** @returns nothing when the plain mount carries the target in no way */
export async function measureAccuracy(
  id: AccuracyId,
  brick: OneBrick,
  context: SuiteContext,
): Promise<Measurement[]> {
  const target: Target = TARGETS[id];
  const trials = trialsOf(target, context.seconds);
  const plain = await brick.client(`${id}-plain`, { plain: true });
  const clients: BrickClient[] = [];
  for (let index = 0; index < (target.atOnce === true ? trials.length : 1); index += 1)
    clients.push(await brick.client(`${id}-${index}`));
  try {
    const own = target.atOnce === true ? trials : trials.slice(0, 1);
    for (const trial of own)
      await prepareFiles(brick, {
        ...trial,
        root: plain.root,
        jobs: Math.max(trial.jobs, target.atOnce ? 0 : 4),
      });
    const rounds: Round[] = [];
    for (let round = 1; round <= Math.min(context.rounds, MOST_ROUNDS); round += 1) {
      context.signal.throwIfAborted();
      const found = await measureRound({ brick, plain, clients, trials, target });
      rounds.push(found);
      context.progress(`${id} round ${round}: ${toldOf(found, target)}`);
    }
    return rowOf(id, target, rounds);
  } finally {
    await brick.run('sh', '-c', 'rm -f "$1"/*', 'sh', plain.root);
    for (const client of [plain, ...clients]) await client.unmount();
  }
}

interface Bench {
  readonly brick: OneBrick;
  readonly plain: BrickClient;
  readonly clients: readonly BrickClient[];
  readonly trials: readonly Trial[];
  readonly target: Target;
}

async function measureRound({ brick, plain, clients, trials, target }: Bench): Promise<Round> {
  const got = ({ bytesPerSecond, opsPerSecond }: Throughput): number =>
    target.unit === 'bytes' ? bytesPerSecond : opsPerSecond;
  const free = (trial: Trial): Load => ({ ...trial, root: plain.root, ms: PLAIN_MS, rampMs: 0, once: true });
  const found = new Map<string, Sample>();
  if (target.atOnce === true) {
    const carried = (await measureLoads(brick, trials.map(free))).map(got);
    const limited = await Promise.all(
      trials.map(async (trial, index) => {
        const client = clients[index] as BrickClient;
        await client.setLimits(trial.limit);
        return got(await measureLoad(brick, { ...trial, root: client.root }));
      }),
    );
    for (const [index, { name }] of trials.entries())
      found.set(name, { limited: limited[index] ?? 0, plain: carried[index] ?? 0 });
    return found;
  }
  const client = clients[0] as BrickClient;
  for (const trial of trials) {
    await client.setLimits(trial.limit);
    const three = [free(trial), { ...trial, root: client.root }, free(trial)];
    const [before = 0, limited = 0, after = 0] = (await measureLoads(brick, three)).map(got);
    await client.setLimits(NO_LIMITS);
    found.set(trial.name, { limited, plain: Math.min(before, after) });
  }
  return found;
}

const isCarried = ({ plain }: Sample, { rate }: Target): boolean => plain >= ROOM * rate;

function toldOf(round: Round, target: Target): string {
  const words = [...round].map(([name, sample]) => {
    const ratio = (sample.limited / target.rate).toFixed(3);
    return isCarried(sample, target)
      ? `${name} ${ratio}`
      : `${name} (${ratio}: plain ${plainText(sample, target)})`;
  });
  return words.join(', ');
}

function plainText({ plain }: Sample, { unit }: Target): string {
  return unit === 'bytes' ? `${figure(plain / 1e6)} MB/s` : `${figure(plain)} ops/s`;
}

function rowOf(id: AccuracyId, target: Target, rounds: readonly Round[]): Measurement[] {
  const ways = [...(rounds[0]?.keys() ?? [])].map((name) => {
    const samples = rounds.flatMap((round) => round.get(name) ?? []);
    const counted = samples.filter((one) => isCarried(one, target));
    return { name, samples, ratios: counted.map(({ limited }) => limited / target.rate) };
  });
  const carried = ways.filter(({ ratios }) => ratios.length > 0);
  if (carried.length === 0) return [];
  const value = worst(carried.map(({ ratios }) => median(ratios)));
  const details = { target: target.rate, unit: target.unit, ways: Object.fromEntries(ways.map(detailsOf)) };
  // Of each round the worst, to show the spread.
  const spread = rounds
    .map((round) => [...round.values()].filter((one) => isCarried(one, target)))
    .filter((samples) => samples.length > 0)
    .map((samples) => worst(samples.map(({ limited }) => limited / target.rate)));
  return [{ id, value, rounds: spread, ours: value, baseline: undefined, details }];

  function detailsOf({ name, samples, ratios }: (typeof ways)[number]): [string, object] {
    const of = (one: keyof Sample): number[] => samples.map((sample) => rounded(sample[one]));
    return [name, { counted: ratios.length, limited: of('limited'), plain: of('plain') }];
  }
}

/** Of two containers on one volume. */
const TWO = [5e6, 2e7] as const;

export async function measureTwo(brick: OneBrick, context: SuiteContext): Promise<Measurement> {
  const clients = [await brick.client('one'), await brick.client('other')];
  const load: Omit<Load, 'root' | 'files'> = {
    ...{ way: 'write' as const, block: 64 * KIB, direct: true, jobs: 1, bytes: 64 * KIB * KIB },
    ...{ ms: context.seconds * 1_000, rampMs: RAMP_MS },
  };
  const rounds: number[] = [];
  const samples: number[][] = [];
  for (const [index, { root }] of clients.entries())
    await prepareFiles(brick, { ...load, files: `two${index}`, root });
  for (let round = 1; round <= context.rounds; round += 1) {
    context.signal.throwIfAborted();
    for (const [index, client] of clients.entries()) await client.setLimits(`write-bytes=${TWO[index]}`);
    const both = clients.map(({ root }, index) =>
      measureLoad(brick, { ...load, files: `two${index}`, root }),
    );
    const ratios = (await Promise.all(both)).map(({ bytesPerSecond }, i) => bytesPerSecond / (TWO[i] ?? 1));
    context.progress(
      `P8.two round ${round}/${context.rounds}: ${ratios.map((one) => one.toFixed(3)).join(', ')}`,
    );
    samples.push(ratios);
    rounds.push(worst(ratios));
  }
  for (const client of clients) await client.unmount();
  const value = median(rounds);
  const details = { targets: TWO, samples };
  return { id: 'P8.two', value, rounds, ours: value, baseline: undefined, details };
}

function worst(ratios: readonly number[]): number {
  return ratios.reduce((a, b) => (Math.abs(b - 1) > Math.abs(a - 1) ? b : a), 1);
}
