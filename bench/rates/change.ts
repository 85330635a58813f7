/** P7.change: how a limit changes under a TCP stream, and whether the stream feels more of it than the new rate. */
import { setTimeout as sleep } from 'node:timers/promises';
import { alternate } from '../alternate.ts';
import type { Measurement } from '../rows.ts';
import { median, rounded } from '../statistics.ts';
import type { SuiteContext } from '../suite.ts';
import { DISTANCES, type Direction, type Distance, RATES, type Rate } from './cells.ts';
import { holdsAfter, longestStall, type Trace } from './figures.ts';
import type { Rival, Site, Sites } from './sites.ts';
import { monotonicMs, send } from './traffic.ts';

/** What holds at first, and what it is changed to, one after the other. */
const COURSES: readonly (readonly [Rate, ...Rate[]])[] = [
  ['10Mbit', '100Mbit', '10Mbit'],
  ['1Gbit', '100Mbit'],
];
const DIRECTIONS: readonly Direction[] = ['in', 'out'];
/** Between two changes: a stream is at its rate long before. */
const EVERY_MS = 1_500;

interface Change {
  readonly what: string;
  /** Undefined: not while it was watched. */
  readonly holdsMs: number | undefined;
  readonly stallMs: number;
  /** How long the command itself took. */
  readonly commandMs: number;
}

interface Course {
  readonly changes: readonly Change[];
  readonly resets: number;
}

export async function measureChange(sites: Sites, context: SuiteContext): Promise<Measurement> {
  const round = async (rival: Rival): Promise<Course[]> => {
    const courses: Course[] = [];
    for (const rates of COURSES) {
      for (const direction of DIRECTIONS) {
        for (const distance of DISTANCES) {
          courses.push(await watchCourse(sites[rival], { rates, direction, distance }, context));
        }
      }
    }
    return courses;
  };
  const rivals = new Map((['ours', 'reference'] as const).map((rival) => [rival, () => round(rival)]));
  const samples = await alternate(context.rounds, rivals, (number, rival, courses) => {
    for (const { what, holdsMs, stallMs, commandMs } of courses.flatMap(({ changes }) => changes)) {
      const told = `holds after ${holdsMs ?? 'never'} ms, longest stall ${stallMs.toFixed(0)} ms`;
      context.progress(
        `P7.change round ${number} ${rival} ${what}: ${told}, command ${commandMs.toFixed(1)} ms`,
      );
    }
  });
  const of = (rival: Rival): Course[] => (samples.get(rival) ?? []).flat();
  const value = slowest(of('ours'));
  const rounds = (samples.get('ours') ?? []).map((courses) => Math.max(...courses.flatMap(waits)));
  return {
    ...{ id: 'P7.change', value, rounds, ours: value, baseline: slowest(of('reference')) },
    details: { ours: summary(of('ours')), reference: summary(of('reference')) },
  };
}

/** Of the kinds of changes the one that takes longest, by the median of its rounds. */
function slowest(courses: readonly Course[]): number {
  const kinds = Map.groupBy(
    courses.flatMap(({ changes }) => changes),
    ({ what }) => what,
  );
  return Math.max(...[...kinds.values()].map((all) => median(all.map(waitOf))));
}

/** What never holds counts as the whole time it was watched. */
function waitOf({ holdsMs }: Change): number {
  return holdsMs ?? EVERY_MS;
}

function waits({ changes }: Course): number[] {
  return changes.map(waitOf);
}

interface CourseOptions {
  readonly rates: readonly [Rate, ...Rate[]];
  readonly direction: Direction;
  readonly distance: Distance;
}

async function watchCourse(
  site: Site,
  { rates, direction, distance }: CourseOptions,
  { signal }: SuiteContext,
): Promise<Course> {
  const [first, ...others] = rates;
  const { end, change, remove } = await site.limited({ [direction]: RATES[first] });
  try {
    const peer = site.peer(distance);
    const path = direction === 'out' ? { from: end, to: peer } : { from: peer, to: end };
    const seconds = Math.ceil(((others.length + 1) * EVERY_MS) / 1_000) + 1;
    const sending = send(path, { protocol: 'tcp', seconds, offered: 0, signal });
    const commands: { rate: Rate; fromMs: number; toMs: number }[] = [];
    try {
      for (const rate of others) {
        await sleep(EVERY_MS, undefined, { signal });
        const fromMs = monotonicMs();
        await change({ [direction]: RATES[rate] });
        commands.push({ rate, fromMs, toMs: monotonicMs() });
      }
    } finally {
      // Whatever else has failed: nothing may go on when the container goes.
      await sending.catch(() => undefined);
    }
    const trace = await sending;
    const where = `${direction} ${distance}`;
    const changes = commands.map(({ rate, fromMs, toMs }, index): Change => {
      const before = index === 0 ? first : (commands[index - 1]?.rate ?? first);
      const what = `${before} to ${rate} ${where}`;
      return { what, commandMs: toMs - fromMs, ...feltOf(trace, fromMs, RATES[rate]) };
    });
    return { changes, resets: trace.reset ? 1 : 0 };
  } finally {
    await remove();
  }
}

function feltOf(trace: Trace, changedMs: number, rate: number): Pick<Change, 'holdsMs' | 'stallMs'> {
  return {
    holdsMs: holdsAfter(trace, changedMs, rate),
    stallMs: longestStall(trace, changedMs, changedMs + EVERY_MS),
  };
}

function summary(courses: readonly Course[]): Record<string, unknown> {
  const changes = courses.flatMap((course) => course.changes);
  const byKind = Map.groupBy(changes, ({ what }) => what);
  return {
    resets: courses.reduce((sum, { resets }) => sum + resets, 0),
    longestStallMs: rounded(Math.max(...changes.map(({ stallMs }) => stallMs))),
    commandMs: rounded(median(changes.map(({ commandMs }) => commandMs))),
    holdsMs: Object.fromEntries(
      [...byKind].map(([what, all]) => [what, all.map(({ holdsMs }) => holdsMs ?? null)]),
    ),
  };
}
