/** The paths that are compared, side by side: ours, the same without programs, through VXLAN, and between network cards. */
import { createLab, type Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { SluiceError } from '../../model/errors.ts';
import type { SuiteContext } from '../suite.ts';
import type { Path } from './measures.ts';
import { proveFlow, stripPrograms } from './plain.ts';
import type { Distance, Kind } from './runs.ts';
import { layTunnel } from './vxlan.ts';

type Config = Parameters<Lab['start']>[0];

export type Carrier = 'vxlan' | 'option';

/** Two nodes, and how they are set up. Those of one lab share its wire. */
interface Site {
  readonly lab: 'slbpath' | 'slbnicv' | 'slbnico' | 'slbnicp';
  readonly nodes: readonly [near: string, far: string];
  /** Default: as it comes. */
  readonly config?: Config;
  /** Of the lab's cluster; default: what the cluster chooses. */
  readonly carrier?: Carrier;
  /** Without programs. */
  readonly stripped?: true;
  /** One tunnel of the kernel between the two. */
  readonly tunnel?: true;
}

const SITES: Readonly<Record<Kind, Site>> = {
  ours: { lab: 'slbpath', nodes: ['a', 'b'] },
  bridge: { lab: 'slbpath', nodes: ['g', 'h'], config: { tagqueue: { fastPath: 'off' } } },
  plain: { lab: 'slbpath', nodes: ['c', 'd'], stripped: true },
  vxlan: { lab: 'slbpath', nodes: ['e', 'f'], stripped: true, tunnel: true },
  'nic-vxlan': { lab: 'slbnicv', nodes: ['a', 'b'], carrier: 'vxlan' },
  'nic-option': { lab: 'slbnico', nodes: ['a', 'b'], carrier: 'option' },
  'nic-plain': { lab: 'slbnicp', nodes: ['a', 'b'], stripped: true },
};
const TENANT = 'blue';

export interface Sites {
  path(kind: Kind, distance: Distance): Path;
  close(): Promise<void>;
}

type Paths = Readonly<Record<Distance, Path>>;

/** Builds the nodes, and proves of every path that packets flow on it. */
export async function buildSites(kinds: readonly Kind[], context: SuiteContext): Promise<Sites> {
  const labs: Lab[] = [];
  const close = async (): Promise<void> => {
    for (const lab of labs.splice(0)) await lab.close();
  };
  try {
    const paths = new Map<Kind, Paths>();
    for (const prefix of new Set(kinds.map((kind) => SITES[kind].lab))) {
      const own = kinds.filter((kind) => SITES[kind].lab === prefix);
      const nodes = own.flatMap((kind) => SITES[kind].nodes);
      const lab = await createLab({ prefix, nodes, wire: prefix === 'slbpath' ? 'switch' : 'nic' });
      labs.push(lab);
      for (const [kind, built] of await buildKinds(lab, own, context)) paths.set(kind, built);
    }
    return {
      path: (kind, distance) => {
        const found = paths.get(kind)?.[distance];
        if (found === undefined) throw new RangeError(`no ${kind} path was built`);
        return found;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function buildKinds(
  lab: Lab,
  kinds: readonly Kind[],
  { progress, signal }: SuiteContext,
): Promise<ReadonlyMap<Kind, Paths>> {
  progress(`starting ${lab.nodes.length} nodes`);
  await lab.start();
  await lab.tenant(TENANT);
  const paths = new Map<Kind, Paths>();
  for (const kind of kinds) {
    signal.throwIfAborted();
    paths.set(kind, await buildKind(lab, SITES[kind]));
  }
  return paths;
}

async function buildKind(lab: Lab, site: Site): Promise<Paths> {
  const [near, far] = [lab.node(site.nodes[0]), lab.node(site.nodes[1])];
  if (site.carrier !== undefined) await chooseCarrier(near, site.carrier);
  if (site.config !== undefined) for (const node of [near, far]) await node.restart(site.config);
  const from = await lab.container(near.name, TENANT, 'from');
  const neighbour = await lab.container(near.name, TENANT, 'neighbour');
  const remote = await lab.container(far.name, TENANT, 'remote');
  if (site.stripped) for (const node of [near, far]) await stripPrograms(node);
  if (site.tunnel) {
    await layTunnel({ node: near, containers: [from, neighbour] }, { node: far, containers: [remote] });
  }
  const paths = { samehost: { from, to: neighbour }, twohosts: { from, to: remote } };
  for (const path of Object.values(paths)) await proveFlow(path);
  return paths;
}

/** Of the cluster that the node belongs to. @throws SluiceError `program_failed` */
export async function chooseCarrier(node: LabNode, carrier: Carrier): Promise<void> {
  const { code, stdout, stderr } = await node.sluice(['cluster', 'set', '--carrier', carrier]);
  if (code === 0) return;
  throw new SluiceError('program_failed', `carrier ${carrier}: ${stdout}${stderr}`, "see the server's log");
}
