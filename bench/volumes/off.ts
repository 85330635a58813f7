/**
 * P8.off: what the translator costs where nothing is limited. One fio goes from a mount with it to one without and to
 * another without, again and again, so shortly that what the machine does besides falls on all of them alike; and how
 * much the two without differ tells what a difference means.
 */
import { readFileSync } from 'node:fs';
import { SluiceError } from '../../model/errors.ts';
import type { BrickClient, OneBrick } from '../../test/support/one-brick.ts';
import { turned } from '../alternate.ts';
import { ROWS, type RowId } from '../catalogue.ts';
import { twoCpus } from '../machine.ts';
import type { Measurement } from '../rows.ts';
import { median, percentile, rounded } from '../statistics.ts';
import type { SuiteContext } from '../suite.ts';
import { prepareFiles, type Way } from './fio.ts';

const KIB = 1_024;
const MIB = KIB * KIB;

/** Without limits: sequential in blocks of 128 KiB, random in blocks of 4. */
const SEQUENTIAL = { files: 'large', block: 128 * KIB, bytes: 512 * MIB } as const;
const RANDOM = { files: 'small', block: 4 * KIB, bytes: 32 * MIB } as const;
const OFF = {
  'P8.off.seqread': { way: 'read', ...SEQUENTIAL },
  'P8.off.seqwrite': { way: 'write', ...SEQUENTIAL },
  'P8.off.randread': { way: 'randread', ...RANDOM },
  'P8.off.randwrite': { way: 'randwrite', ...RANDOM },
} as const satisfies Partial<Record<RowId, { way: Way }>>;
export type OffId = keyof typeof OFF;
export const OFF_IDS = Object.keys(OFF) as OffId[];

/** `twin` is a second one without the translator. */
const RIVALS = ['ours', 'plain', 'twin'] as const;
type Rival = (typeof RIVALS)[number];
/** So many operations on one, then as many on the next: some milliseconds. */
const TURN = 32;
/** Until caches and buffers are filled; operations. */
const WARM_UP = 10 * TURN * RIVALS.length;
/** Before others, so that these take the less. */
const NICE = -15;

/** Seconds of one turn on each; the rounds' mounts are new each time, since processes alike may differ. */
type Turns = Readonly<Record<Rival, readonly number[]>>;

export async function measureOff(
  ids: readonly OffId[],
  brick: OneBrick,
  context: SuiteContext,
): Promise<Measurement[]> {
  const rounds = new Map<OffId, Turns[]>(ids.map((id) => [id, []]));
  for (let round = 1; round <= context.rounds; round += 1) {
    const order = turned(RIVALS, round - 1);
    const clients: BrickClient[] = [];
    for (const rival of order)
      clients.push(await brick.client(`off-${rival}-${round}`, { plain: rival !== 'ours' }));
    const roots = clients.map(({ root }) => root);
    if (round === 1)
      for (const kind of [SEQUENTIAL, RANDOM])
        await prepareFiles(brick, { ...kind, root: roots[0] ?? '', jobs: 1 });
    await placeProcesses(brick);
    for (const id of ids) {
      context.signal.throwIfAborted();
      const turns = await takeTurns(id, brick, order, roots);
      rounds.get(id)?.push(turns);
      const [ours, twin] = [ratiosOf(turns, 'ours'), ratiosOf(turns, 'twin')];
      const told = `${median(ours).toFixed(3)}, a second plain one ${median(twin).toFixed(3)}`;
      context.progress(`${id} round ${round}/${context.rounds}: ${told}`);
    }
    for (const client of clients) await client.unmount();
  }
  return ids.map((id) => {
    const turns = rounds.get(id) ?? [];
    const [ours, twin] = [spreadOf(turns, 'ours'), spreadOf(turns, 'twin')];
    context.progress(
      `${id} quarters of ${ours.pairs} pairs: ${ours.quarters.join(', ')}; ${twin.quarters.join(', ')}`,
    );
    return rowOf(id, turns);
  });
}

/** $1: the brick's CPU, $2: the clients'. A thread may end meanwhile. */
const PLACE = `place() {
  for pid in $(pgrep -x "$1"); do
    taskset --all-tasks --pid --cpu-list "$2" "$pid"
    renice -n ${NICE} -p $(ls "/proc/$pid/task")
  done
}
place glusterfsd "$1"; place glusterfs "$2"; true`;

/** The brick has a CPU to itself; clients, and fio, the other: nobody is moved while it is measured. */
async function placeProcesses(brick: OneBrick): Promise<void> {
  const { from, to } = twoCpus();
  await brick.runOk('sh', '-c', PLACE, 'sh', String(to), String(from));
}

/** @returns the turns on each rival, in the order of time */
async function takeTurns(
  id: OffId,
  brick: OneBrick,
  order: readonly Rival[],
  roots: readonly string[],
): Promise<Turns> {
  const { way, block, bytes, files } = OFF[id];
  const log = `${brick.directory}/${id}`;
  const argv = [
    ...['--thread', '--overwrite=1', '--fallocate=none', '--direct=1', `--rw=${way}`, `--bs=${block}`],
    ...[`--filesize=${bytes}`, `--size=${bytes * order.length}`, `--nice=${NICE}`],
    ...[`--cpus_allowed=${twoCpus().from}`, `--file_service_type=roundrobin:${TURN}`, '--name=turns'],
    `--filename=${roots.map((root) => `${root}/${files}.0`).join(':')}`,
    ...[`--write_lat_log=${log}`, '--disable_slat=1', '--disable_clat=1'],
  ];
  await brick.runOk('fio', ...argv);
  return turnsOf(readFileSync(`${log}_lat.1.log`, 'utf8'), order);
}

/** Of fio's log: each line `time, nanoseconds, …` is an operation, in the order of time. */
export function turnsOf(log: string, order: readonly Rival[]): Turns {
  const took = log
    .trim()
    .split('\n')
    .slice(WARM_UP)
    .map((line) => Number(line.split(',')[1]) / 1e9);
  const turns: Record<Rival, number[]> = { ours: [], plain: [], twin: [] };
  const whole = took.length - (took.length % (TURN * order.length));
  for (let at = 0; at < whole; at += TURN) {
    const rival = order[(at / TURN) % order.length];
    if (rival !== undefined) turns[rival].push(took.slice(at, at + TURN).reduce((sum, one) => sum + one, 0));
  }
  if (turns.plain.length === 0)
    throw new SluiceError(
      'program_failed',
      'fio has logged too few operations',
      'run it by hand to see more',
    );
  return turns;
}

/** How fast a rival is, by how fast the plain mount was right before or after. */
function ratiosOf({ plain, ...others }: Turns, rival: 'ours' | 'twin'): number[] {
  return others[rival].map((seconds, turn) => (plain[turn] ?? Number.NaN) / seconds);
}

function rowOf(id: OffId, rounds: readonly Turns[]): Measurement {
  const { block } = OFF[id];
  const { measuredIn } = ROWS[id];
  const rate = (seconds: number): number => (TURN / seconds) * (measuredIn === 'MB/s' ? block / 1e6 : 1);
  const side = (rival: Rival): number => rate(median(rounds.flatMap((round) => round[rival])));
  const medians = rounds.map((round) => median(ratiosOf(round, 'ours')));
  return {
    ...{ id, value: median(medians), rounds: medians, ours: side('ours'), baseline: side('plain') },
    details: { measuredIn, ours: spreadOf(rounds, 'ours'), secondPlain: spreadOf(rounds, 'twin') },
  };
}

interface Spread {
  readonly pairs: number;
  /** Of all pairs' ratios: the lower quarter, the middle, the upper quarter. */
  readonly quarters: readonly number[];
  /** The middle of each round. */
  readonly rounds: readonly number[];
}

function spreadOf(rounds: readonly Turns[], rival: 'ours' | 'twin'): Spread {
  const ofRounds = rounds.map((round) => ratiosOf(round, rival));
  const all = ofRounds.flat();
  return {
    pairs: all.length,
    quarters: [25, 50, 75].map((percent) => rounded(percentile(all, percent))),
    rounds: ofRounds.map((ratios) => rounded(median(ratios))),
  };
}
