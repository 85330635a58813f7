/** P7.ping: how long others wait behind a stream that has filled a limit of 10 Mbit/s. */
import { setTimeout as sleep } from 'node:timers/promises';
import { runOk } from '../../linux/process.ts';
import { alternate } from '../alternate.ts';
import { inside } from '../inside.ts';
import type { Measurement } from '../rows.ts';
import { median, percentile, rounded } from '../statistics.ts';
import type { SuiteContext } from '../suite.ts';
import { DISTANCES, type Direction, type Distance, RATES } from './cells.ts';
import type { Rival, Site, Sites } from './sites.ts';
import { type Path, send } from './traffic.ts';

const RATE = RATES['10Mbit'];
/** By then the stream has filled whatever queue there is. */
const FILLED_MS = 1_000;
const EVERY_MS = 20;
const DIRECTIONS: readonly Direction[] = ['in', 'out'];

/** ms of each echo, by direction and distance. */
type Echoes = ReadonlyMap<string, readonly number[]>;

export async function measurePing(sites: Sites, context: SuiteContext): Promise<Measurement> {
  const round = async (site: Site): Promise<Echoes> => {
    const echoes = new Map<string, readonly number[]>();
    for (const direction of DIRECTIONS) {
      for (const distance of DISTANCES) {
        const way = { direction, distance };
        echoes.set(`${direction} ${distance}`, await pingUnderLoad(site, way, context));
      }
    }
    return echoes;
  };
  const rivals = new Map<Rival, () => Promise<Echoes>>([
    ['ours', () => round(sites.ours)],
    ['reference', () => round(sites.reference)],
  ]);
  const samples = await alternate(context.rounds, rivals, (number, rival, echoes) => {
    for (const [way, all] of echoes) {
      const told = `p50 ${median(all).toFixed(1)} ms, p95 ${percentile(all, 95).toFixed(1)} ms`;
      context.progress(`P7.ping round ${number}/${context.rounds} ${rival} ${way}: ${told}`);
    }
  });
  const worst = (rival: Rival): number[] =>
    (samples.get(rival) ?? []).map((echoes) =>
      Math.max(...[...echoes.values()].map((all) => percentile(all, 95))),
    );
  const value = median(worst('ours'));
  return {
    ...{ id: 'P7.ping', value, rounds: worst('ours'), ours: value, baseline: median(worst('reference')) },
    details: { ours: summary(samples.get('ours') ?? []), reference: summary(samples.get('reference') ?? []) },
  };
}

async function pingUnderLoad(
  site: Site,
  { direction, distance }: { direction: Direction; distance: Distance },
  { seconds, signal }: SuiteContext,
): Promise<number[]> {
  const { end, remove } = await site.limited({ [direction]: RATE });
  try {
    const peer = site.peer(distance);
    const path = direction === 'out' ? { from: end, to: peer } : { from: peer, to: end };
    const sending = send(path, { protocol: 'tcp', seconds: seconds + 2, offered: 0, signal });
    try {
      await sleep(FILLED_MS, undefined, { signal });
      return await ping(path, (seconds * 1_000) / EVERY_MS, signal);
    } finally {
      await sending.catch(() => undefined);
    }
  } finally {
    await remove();
  }
}

/** The way there is the one that is filled; the way back is free. */
async function ping({ from, to }: Path, count: number, signal: AbortSignal): Promise<number[]> {
  const words = [
    'ping',
    '-n',
    '-c',
    String(count),
    '-i',
    String(EVERY_MS / 1_000),
    '-W',
    '1',
    to.address,
  ] as const;
  const printed = await runOk(inside(from, words), { signal });
  return [...printed.matchAll(/ time=([\d.]+) ms$/gm)].map(([, time]) => Number(time));
}

function summary(rounds: readonly Echoes[]): Record<string, unknown> {
  const all = Map.groupBy(
    rounds.flatMap((echoes) => [...echoes]),
    ([way]) => way,
  );
  return Object.fromEntries(
    [...all].map(([way, entries]) => {
      const echoes = entries.flatMap(([, times]) => times);
      const figures = {
        count: echoes.length,
        p50: median(echoes),
        p95: percentile(echoes, 95),
        max: Math.max(...echoes),
      };
      return [
        way,
        Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, rounded(value)])),
      ];
    }),
  );
}
