/** P5: what an ADD and a DEL take as a runtime sees them, in turn with the reference chain of plugins. */
import { thisCheckout } from '../../lab/checkout.ts';
import { createLab, type Lab } from '../../lab/lab.ts';
import { batch, netnsPath } from '../../lab/network.ts';
import { namespaceOf } from '../../lab/topology.ts';
import { alternate } from '../alternate.ts';
import type { RowId } from '../catalogue.ts';
import type { Measurement } from '../rows.ts';
import { median, percentile, rounded } from '../statistics.ts';
import type { SuiteContext } from '../suite.ts';
import { ourChain, referenceChain } from './chains.ts';
import { type Launch, launch, type Times } from './launcher.ts';

interface Run extends Launch {
  readonly port: boolean;
  readonly rows: readonly { readonly id: RowId; readonly verb: 'addMs' | 'delMs' }[];
  /** The reference needs a quarter of a minute for 64 containers. */
  readonly mostRounds: number;
}

const add = (id: RowId): Run['rows'][number] => ({ id, verb: 'addMs' });
const del = (id: RowId): Run['rows'][number] => ({ id, verb: 'delMs' });

const RUNS: readonly Run[] = [
  { order: 'one-by-one', count: 12, port: false, mostRounds: 20, rows: [add('P5.add'), del('P5.del')] },
  {
    order: 'one-by-one',
    count: 12,
    port: true,
    mostRounds: 20,
    rows: [add('P5.add.port'), del('P5.del.port')],
  },
  { order: 'at-once', count: 8, port: false, mostRounds: 20, rows: [add('P5.add.8')] },
  { order: 'at-once', count: 64, port: false, mostRounds: 2, rows: [add('P5.add.64')] },
];

const TENANT = 'blue';
type Rival = 'ours' | 'reference';
type Call = (run: Run) => Promise<Times>;

export async function measureVerbs(context: SuiteContext): Promise<Measurement[]> {
  const runs = RUNS.map((run) => ({ ...run, rows: run.rows.filter(({ id }) => context.wanted.has(id)) }));
  const wanted = runs.filter(({ rows }) => rows.length > 0);
  if (wanted.length === 0) return [];
  const lab = await createLab({ prefix: 'slbcni', nodes: ['a'] });
  try {
    const callers = await prepare(lab, Math.max(...wanted.map(({ count }) => count)), context);
    const measurements: Measurement[] = [];
    for (const run of wanted) measurements.push(...(await measureRun(run, callers, context)));
    return measurements;
  } finally {
    await lab.close();
  }
}

/** A node of ours, a namespace for the reference, and empty namespaces that both use in turn. */
async function prepare(
  lab: Lab,
  containers: number,
  { signal, progress }: SuiteContext,
): Promise<Map<Rival, Call>> {
  progress('starting a node');
  await lab.start();
  await lab.tenant(TENANT);
  const reference = namespaceOf(lab.prefix, 'reference');
  const names = Array.from({ length: containers }, (_, index) => namespaceOf(lab.prefix, `c${index}`));
  await batch([reference, ...names].map((name) => `netns add ${name}`));
  await batch(['link set lo up'], reference);

  const node = lab.node('a');
  const common = { containers: netnsPath(namespaceOf(lab.prefix, 'c')), directory: lab.directory, signal };
  const { plugin } = thisCheckout();
  const addresses = `${lab.directory}/host-local`;
  return new Map<Rival, Call>([
    [
      'ours',
      (run) => launch(ourChain(plugin, node.runDir, TENANT, run), run, { ...common, netns: node.netns }),
    ],
    [
      'reference',
      (run) => launch(referenceChain(addresses, run), run, { ...common, netns: netnsPath(reference) }),
    ],
  ]);
}

async function measureRun(
  run: Run,
  callers: ReadonlyMap<Rival, Call>,
  context: SuiteContext,
): Promise<Measurement[]> {
  const rivals = new Map([...callers].map(([rival, call]) => [rival, () => call(run)]));
  const what = `${run.rows.map(({ id }) => id).join(' ')} (${run.count} ${run.order})`;
  // The first calls find cold caches, and make what all later ones share: chains, bridges.
  const warmUp = { ...run, count: Math.min(run.count, 5) };
  for (const call of callers.values()) await call(warmUp);
  const rounds = Math.min(context.rounds, run.mostRounds);
  const samples = await alternate(rounds, rivals, (round, rival, { addMs, delMs }) => {
    const figures = `ADD ${median(addMs).toFixed(1)} ms, DEL ${median(delMs).toFixed(1)} ms`;
    context.progress(`${what} round ${round}/${rounds} ${rival}: ${figures}`);
  });
  const of = (rival: Rival): Times[] => samples.get(rival) ?? [];
  return run.rows.map(({ id, verb }) => compare(id, verb, of('ours'), of('reference')));
}

function compare(
  id: RowId,
  verb: 'addMs' | 'delMs',
  ours: readonly Times[],
  reference: readonly Times[],
): Measurement {
  const value = percentile(
    ours.flatMap((times) => times[verb]),
    50,
  );
  return {
    ...{
      id,
      value,
      ours: value,
      baseline: percentile(
        reference.flatMap((times) => times[verb]),
        50,
      ),
    },
    rounds: ours.map((times) => median(times[verb])),
    details: { ours: summary(ours, verb), reference: summary(reference, verb) },
  };
}

function summary(rounds: readonly Times[], verb: 'addMs' | 'delMs'): Record<string, unknown> {
  const all = rounds.flatMap((times) => times[verb]);
  const wall = rounds.map((times) => rounded(verb === 'addMs' ? times.allAddMs : times.allDelMs));
  return {
    count: all.length,
    p50: rounded(percentile(all, 50)),
    p99: rounded(percentile(all, 99)),
    wallMsByRound: wall,
  };
}
