/** R1: what is lost between two nodes while the cluster's keys change every second. */
import { createLab, type Lab } from '../../lab/lab.ts';
import type { RowId } from '../catalogue.ts';
import { type Path, throughput } from '../paths/measures.ts';
import { proveFlow } from '../paths/plain.ts';
import { type Carrier, chooseCarrier } from '../paths/sites.ts';
import type { Measurement } from '../rows.ts';
import type { SuiteContext } from '../suite.ts';
import { type Changes, whileKeysChange } from './changes.ts';
import { type Refused, sendNumbered, withRefusals } from './losses.ts';
import { rowOfRotation, type Stream } from './report.ts';

const CARRIERS = { 'R1.rotation': 'option', 'R1.rotation.vxlan': 'vxlan' } as const satisfies Partial<
  Record<RowId, Carrier>
>;
type RotationRow = keyof typeof CARRIERS;

const TENANT = 'blue';
/** Fewer changes prove nothing. */
const LEAST_SECONDS = 10;
const TCP_SECONDS = 10;
/** Keys change when we say so. Probes are forged packets, which would count as refused for their key. */
const CONFIG = {
  keys: { rotateEvery: 0, grace: '100ms', waitForNodes: '2s' },
  probes: { everySeconds: 0 },
} as const;

/** Measured once, not in rounds: one long stretch sees what several short ones do. */
export async function measureRotation(context: SuiteContext): Promise<Measurement[]> {
  const ids = (Object.keys(CARRIERS) as RotationRow[]).filter((id) => context.wanted.has(id));
  if (ids.length === 0) return [];
  const { progress, signal } = context;
  const lab = await createLab({ prefix: 'slbrot', nodes: ['a', 'b'] });
  try {
    progress('starting 2 nodes');
    await lab.start(CONFIG);
    await lab.tenant(TENANT);
    const path = {
      from: await lab.container('a', TENANT, 'from'),
      to: await lab.container('b', TENANT, 'to'),
    };
    const measurements: Measurement[] = [];
    for (const id of ids) {
      signal.throwIfAborted();
      await chooseCarrier(lab.node('a'), CARRIERS[id]);
      await proveFlow(path);
      measurements.push(await measureRow(id, lab, path, context));
    }
    return measurements;
  } finally {
    await lab.close();
  }
}

/** A stretch with one key before, and one after, as long together as a third of the one in between. */
async function measureRow(
  id: RotationRow,
  { nodes }: Lab,
  path: Path,
  { seconds: wanted, signal, progress }: SuiteContext,
): Promise<Measurement> {
  const seconds = Math.max(LEAST_SECONDS, wanted);
  const [server] = nodes;
  if (server === undefined) throw new RangeError('a lab without nodes');
  const numbered = (forSeconds: number) => () => sendNumbered(path, { seconds: forSeconds, signal });
  const stream = async (): Promise<Stream> => ({
    gigabitsPerSecond: await throughput(path, { seconds: TCP_SECONDS, signal }),
  });
  const told = <T>(what: string, figures: T): T => {
    progress(`${id} ${what}: ${JSON.stringify(figures)}`);
    return figures;
  };
  const calm = async <T>(work: () => Promise<T>): Promise<T & Refused> =>
    told('one key', await withRefusals(nodes, work));
  const changing = async <T>(work: () => Promise<T>): Promise<T & Changes & Refused> =>
    told('changing', await withRefusals(nodes, () => whileKeysChange(server, work)));
  const shortly = Math.ceil(seconds / 6);
  return rowOfRotation(id, {
    seconds,
    before: await calm(numbered(shortly)),
    udp: await changing(numbered(seconds)),
    after: await calm(numbered(shortly)),
    tcp: await changing(stream),
    tcpCalm: await calm(stream),
  });
}
