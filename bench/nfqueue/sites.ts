/** Pairs of nodes with the userland plane's rules: our workers at the queues in both gears, the C loop, and no rules at all. */
import { createLab, type Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { type Daemon, runOk, startDaemon } from '../../linux/process.ts';
import { SluiceError } from '../../model/errors.ts';
import { chainNames, fenceTable } from '../../tagqueue/nfqueue/names.ts';
import { helper } from '../helper.ts';
import { inside } from '../inside.ts';
import type { Path } from '../paths/measures.ts';
import { proveFlow } from '../paths/plain.ts';
import type { SuiteContext } from '../suite.ts';

export type Kind = 'ours' | 'loop' | 'plain' | 'flows';

const NODES: Readonly<Record<Kind, readonly [near: string, far: string]>> = {
  ours: ['a', 'b'],
  loop: ['c', 'd'],
  plain: ['e', 'f'],
  flows: ['g', 'h'],
};
const TENANT = 'blue';
/** Any number does: the loop's own tags are read by the loop. */
const LOOP_TENANT = '42';

export interface Sites {
  path(kind: Kind): Path;
  close(): Promise<void>;
}

/** Builds the nodes, and proves of every path that packets flow on it. */
export async function buildSites(kinds: readonly Kind[], { progress, signal }: SuiteContext): Promise<Sites> {
  const loops: Daemon[] = [];
  const lab = await createLab({ prefix: 'slbnfq', nodes: kinds.flatMap((kind) => NODES[kind]) });
  const close = async (): Promise<void> => {
    for (const loop of loops) await loop.stop();
    await lab.close();
  };
  try {
    progress(`starting ${lab.nodes.length} nodes`);
    await lab.start({ tagqueue: { plane: 'nfqueue' } });
    await lab.tenant(TENANT);
    const paths = new Map<Kind, Path>();
    for (const kind of kinds) {
      signal.throwIfAborted();
      paths.set(kind, await buildKind(lab, kind, loops));
    }
    return {
      path: (kind) => paths.get(kind) ?? missing(kind),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function buildKind(lab: Lab, kind: Kind, loops: Daemon[]): Promise<Path> {
  const [near, far] = NODES[kind].map((name) => lab.node(name));
  if (near === undefined || far === undefined) throw new RangeError('a kind has two nodes');
  if (kind === 'flows')
    for (const node of [near, far]) await node.restart({ tagqueue: { plane: 'nfqueue', gear: 'flows' } });
  const path = {
    from: await lab.container(near.name, TENANT, 'from'),
    to: await lab.container(far.name, TENANT, 'to'),
  };
  for (const node of [near, far]) {
    if (kind === 'loop') loops.push(...(await replaceWorkers(node)));
    if (kind === 'plain') await stripRules(node);
  }
  await proveFlow(path);
  return path;
}

/** The rules stay, and the C loop reads the queues that our workers read before. */
async function replaceWorkers(node: LabNode): Promise<Daemon[]> {
  const table = fenceTable(node.name);
  const queues = await queuesOf(node);
  const [port] = JSON.parse(await node.exec(['nft', '-j', 'list', 'map', 'bridge', table, 'senders']))
    .nftables.flatMap(({ map }: { map?: { elem?: [{ elem: { comment: string } }][] } }) => map?.elem ?? [])
    .map(([{ elem }]: [{ elem: { comment: string } }]) => elem.comment.split(' ')[1]);
  const { internalPool, ownBlock } = JSON.parse(await node.exec(['cat', `${node.stateDir}/tagqueue.json`]));
  await node.stop();
  return Promise.all(
    queues.map((queue) =>
      startDaemon(
        inside(node, [
          ...([helper('nfqloop'), String(queue), internalPool, ownBlock] as const),
          ...['0xfff00000', port, LOOP_TENANT],
        ]),
      ),
    ),
  );
}

/** The queues that somebody reads. */
async function queuesOf(node: LabNode): Promise<number[]> {
  const listed = await node.exec(['cat', '/proc/thread-self/net/netfilter/nfnetlink_queue']);
  return listed
    .split('\n')
    .map((line) => Number.parseInt(line.trim(), 10))
    .filter((queue) => !Number.isNaN(queue));
}

/** Stops the daemons, which would put them back, and takes the plane's rules away. */
async function stripRules(node: LabNode): Promise<void> {
  await node.stop();
  const table = fenceTable(node.name);
  const { arrivals, departures } = chainNames(node.name);
  await node.exec(['nft', `delete table bridge ${table}; delete table ip ${table}`]);
  for (const [of, hook, chain] of [
    ['raw', 'PREROUTING', arrivals],
    ['mangle', 'POSTROUTING', departures],
  ] as const) {
    for (const change of [
      ['-D', hook, '-j', chain],
      ['-F', chain],
      ['-X', chain],
    ])
      await runOk(inside(node, ['iptables-nft', '-t', of, ...change]));
  }
}

function missing(kind: Kind): never {
  throw new SluiceError('internal', `no ${kind} path was built`, 'this is a defect in the benchmark');
}
