/** P4: the userland plane, in turn with a C loop that does the same to every packet, and with no fence. */
import { alternate } from '../alternate.ts';
import type { RowId } from '../catalogue.ts';
import { connectionRate, type PathMeasure, packetRate, roundTrip, throughput } from '../paths/measures.ts';
import { type Measurement, ratioOf } from '../rows.ts';
import type { SuiteContext } from '../suite.ts';
import { figure } from '../table.ts';
import { buildSites, type Kind, type Sites } from './sites.ts';

interface Run {
  readonly ours: Kind;
  readonly measure: PathMeasure;
  readonly rows: readonly { readonly id: RowId; readonly against: Kind }[];
}

const RUNS: readonly Run[] = [
  {
    ours: 'ours',
    measure: throughput,
    rows: [
      { id: 'P4.tcp', against: 'loop' },
      { id: 'P4.plain', against: 'plain' },
    ],
  },
  { ours: 'ours', measure: packetRate, rows: [{ id: 'P4.pps', against: 'loop' }] },
  { ours: 'flows', measure: roundTrip, rows: [{ id: 'P4.flows.rr', against: 'plain' }] },
  { ours: 'flows', measure: connectionRate, rows: [{ id: 'P4.flows.connections', against: 'plain' }] },
];

export async function measureUserland(context: SuiteContext): Promise<Measurement[]> {
  const runs = RUNS.map((run) => ({
    ...run,
    rows: run.rows.filter(({ id }) => context.wanted.has(id)),
  })).filter(({ rows }) => rows.length > 0);
  if (runs.length === 0) return [];
  const sites = await buildSites([...new Set(runs.flatMap(kindsOf))], context);
  try {
    const measurements: Measurement[] = [];
    for (const run of runs) measurements.push(...(await measureRun(run, sites, context)));
    return measurements;
  } finally {
    await sites.close();
  }
}

function kindsOf({ ours, rows }: Pick<Run, 'ours' | 'rows'>): Kind[] {
  return [...new Set<Kind>([ours, ...rows.map(({ against }) => against)])];
}

async function measureRun(
  { ours, measure, rows }: Run,
  sites: Sites,
  context: SuiteContext,
): Promise<Measurement[]> {
  const rivals = new Map(
    kindsOf({ ours, rows }).map((kind) => [kind, () => measure(sites.path(kind), context)]),
  );
  const what = rows.map(({ id }) => id).join(' ');
  const samples = await alternate(context.rounds, rivals, (round, kind, sample) => {
    context.progress(`${what} round ${round}/${context.rounds} ${kind}: ${figure(sample)}`);
  });
  const of = (kind: Kind): number[] => samples.get(kind) ?? [];
  return rows.map(({ id, against }) => ratioOf(id, of(ours), of(against)));
}
