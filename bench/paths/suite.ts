/** P1, P2 and P3: a path through the fence, measured in turn with the same path without it and with VXLAN. */
import { alternate } from '../alternate.ts';
import { type Measurement, ratioOf } from '../rows.ts';
import type { SuiteContext } from '../suite.ts';
import { figure } from '../table.ts';
import { type PathMeasure, packetRate, roundTrip, throughput } from './measures.ts';
import { type Benchmark, type Kind, kindsOf, planRuns, type Run } from './runs.ts';
import { buildSites, type Sites } from './sites.ts';

const MEASURES: Readonly<Record<Benchmark, PathMeasure>> = { P1: throughput, P2: roundTrip, P3: packetRate };

export async function measurePaths(context: SuiteContext): Promise<Measurement[]> {
  const runs = planRuns(context.wanted);
  if (runs.length === 0) return [];
  const sites = await buildSites(kindsOf(runs), context);
  try {
    const measurements: Measurement[] = [];
    for (const run of runs) measurements.push(...(await measureRun(run, sites, context)));
    return measurements;
  } finally {
    await sites.close();
  }
}

async function measureRun(run: Run, sites: Sites, context: SuiteContext): Promise<Measurement[]> {
  const { benchmark, distance, rows } = run;
  const measure = MEASURES[benchmark];
  const rivals = new Map(
    kindsOf([run]).map((kind) => [kind, () => measure(sites.path(kind, distance), context)]),
  );
  const what = rows.map(({ id }) => id).join(' ');
  const samples = await alternate(context.rounds, rivals, (round, kind, sample) => {
    context.progress(`${what} round ${round}/${context.rounds} ${kind}: ${figure(sample)}`);
  });
  const of = (kind: Kind): number[] => samples.get(kind) ?? [];
  return rows.map(({ id, subject, against }) => ratioOf(id, of(subject), of(against)));
}
