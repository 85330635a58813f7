/** The paths that are compared, side by side in one lab: ours, the same without programs, and through VXLAN. */
import { createLab, type Lab } from '../../lab/lab.ts';
import type { SuiteContext } from '../suite.ts';
import type { Path } from './measures.ts';
import { proveFlow, stripPrograms } from './plain.ts';
import type { Distance, Kind } from './runs.ts';
import { layTunnel } from './vxlan.ts';

/** Two nodes of the lab for each kind. */
const NODES: Readonly<Record<Kind, readonly [near: string, far: string]>> = {
  ours: ['a', 'b'],
  plain: ['c', 'd'],
  vxlan: ['e', 'f'],
};
const TENANT = 'blue';

export interface Sites {
  path(kind: Kind, distance: Distance): Path;
  close(): Promise<void>;
}

/** Builds the nodes, and proves of every path that packets flow on it. */
export async function buildSites(kinds: readonly Kind[], { progress, signal }: SuiteContext): Promise<Sites> {
  const lab = await createLab({ prefix: 'slbpath', nodes: kinds.flatMap((kind) => NODES[kind]) });
  try {
    progress(`starting ${lab.nodes.length} nodes`);
    await lab.start();
    await lab.tenant(TENANT);
    const paths = new Map<Kind, Readonly<Record<Distance, Path>>>();
    for (const kind of kinds) {
      signal.throwIfAborted();
      paths.set(kind, await buildKind(lab, kind));
    }
    return {
      path: (kind, distance) => {
        const found = paths.get(kind)?.[distance];
        if (found === undefined) throw new RangeError(`no ${kind} path was built`);
        return found;
      },
      close: () => lab.close(),
    };
  } catch (error) {
    await lab.close();
    throw error;
  }
}

async function buildKind(lab: Lab, kind: Kind): Promise<Record<Distance, Path>> {
  const [near, far] = NODES[kind].map((name) => lab.node(name));
  if (near === undefined || far === undefined) throw new RangeError('a kind has two nodes');
  const from = await lab.container(near.name, TENANT, 'from');
  const neighbour = await lab.container(near.name, TENANT, 'neighbour');
  const remote = await lab.container(far.name, TENANT, 'remote');
  if (kind !== 'ours') for (const node of [near, far]) await stripPrograms(node);
  if (kind === 'vxlan') {
    await layTunnel({ node: near, containers: [from, neighbour] }, { node: far, containers: [remote] });
  }
  const paths = { samehost: { from, to: neighbour }, twohosts: { from, to: remote } };
  for (const path of Object.values(paths)) await proveFlow(path);
  return paths;
}
