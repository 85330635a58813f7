/** Storage nodes on one machine: a lab's network, a glusterd of our own in each of its nodes, bricks on XFS images, and clients. */
import { translatorPieces } from '../../cli/translator-pieces.ts';
import { createLab, type Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { ensureDirectory, makeSparseFile } from '../../linux/files.ts';
import { type Argv, type Outcome, run, runOk } from '../../linux/process.ts';
import type { GlusterCluster, GlusterDaemon } from '../../storaged/contract.ts';
import { createGlusterCluster } from '../../storaged/gluster/cluster.ts';
import { glusterCommand } from '../../storaged/gluster/command.ts';
import { createGlusterDaemon, type GlusterDaemonOptions } from '../../storaged/gluster/daemon.ts';
import { readWritten } from '../../storaged/gluster/written.ts';
import { at, childrenOf, textAt } from '../../storaged/gluster/xml.ts';

export interface GlusterNode {
  readonly node: LabNode;
  readonly daemon: GlusterDaemon;
  readonly cluster: GlusterCluster;
  /** Of a volume, or of `all` that have started. */
  status(volume: string): Promise<readonly BrickStatus[]>;
  /** Makes a brick's file system and mounts it. @returns ADDRESS:PATH */
  brick(name: string, bytes?: number): Promise<string>;
  /** A plain client of a volume. @returns the mount's directory, which is seen by `inside` alone */
  mount(volume: string, at?: string): Promise<string>;
  unmount(directory: string): Promise<void>;
  /** A shell script beside glusterd; it must succeed. @returns what it printed */
  sh(script: string, ...args: readonly string[]): Promise<string>;
  /** The same, and it may fail. */
  tryInside(argv: Argv, timeoutMs?: number): Promise<Outcome>;
  /** Takes it off the wire, or puts it back. */
  link(state: 'up' | 'down'): Promise<void>;
}

/** As Gluster itself tells it. */
export interface BrickStatus {
  readonly volume: string;
  /** ADDRESS:PATH */
  readonly name: string;
  readonly online: boolean;
  readonly pid: number;
}

export interface GlusterLab {
  readonly lab: Lab;
  readonly nodes: readonly GlusterNode[];
  /** Takes everything away. */
  close(): Promise<void>;
}

const BRICK_BYTES = 512 * 2 ** 20;

/** @param options  more for each node's daemon @param members  those that know each other already */
export async function createGlusterLab(
  prefix: string,
  names: readonly string[] = ['a', 'b', 'c', 'd'],
  options: (node: LabNode) => Partial<GlusterDaemonOptions> = () => ({}),
  members: readonly string[] = names,
): Promise<GlusterLab> {
  const endGluster = async (directory: string): Promise<void> =>
    createGlusterDaemon({ directory: `${directory}/gluster`, uplink: null }).stop();
  const lab = await createLab({ prefix, nodes: names, beforeRemoval: endGluster });
  try {
    const nodes = lab.nodes.map((node) => glusterNode(node, options(node)));
    const [first, ...others] = nodes;
    if (first === undefined) throw new RangeError('a lab has nodes');
    await Promise.all(nodes.map(({ daemon }) => daemon.ensure()));
    for (const { daemon, node } of others)
      if (members.includes(node.name)) await first.cluster.probe(daemon.address);
    return { lab, nodes, close: () => lab.close() };
  } catch (error) {
    await lab.close();
    throw error;
  }
}

function glusterNode(node: LabNode, more: Partial<GlusterDaemonOptions>): GlusterNode {
  const directory = `${node.stateDir.replace(/\/state$/, '')}/gluster`;
  const { object, filter, patience } = translatorPieces();
  const daemon = createGlusterDaemon({
    ...{ directory, uplink: node.address, netns: node.netns, preload: patience },
    additions: { 'xlator/features/sluice-io.so': object, 'filter/sluice-io': filter },
    ...more,
  });
  const command = glusterCommand({ inside: daemon.inside });
  const cluster = createGlusterCluster(command, readWritten(daemon.kept));
  const inside = (argv: Argv): Promise<string> => runOk(daemon.inside(argv), { timeoutMs: 120_000 });
  const sh = (script: string, ...args: readonly string[]): Promise<string> =>
    inside(['sh', '-euc', script, 'sh', ...args]);
  return {
    ...{ node, daemon, cluster, sh },
    tryInside: (argv, timeoutMs = 60_000) => run(daemon.inside(argv), { timeoutMs }),
    async status(volume): Promise<readonly BrickStatus[]> {
      const answer = at(await command(['volume', 'status', volume]), 'volStatus', 'volumes');
      return childrenOf(answer, 'volume').flatMap((one) =>
        childrenOf(one, 'node')
          .filter((brick) => textAt(brick, 'hostname') !== 'Self-heal Daemon')
          .map((brick) => ({
            volume: textAt(one, 'volName'),
            name: `${textAt(brick, 'hostname')}:${textAt(brick, 'path')}`,
            online: textAt(brick, 'status') === '1',
            pid: Number(textAt(brick, 'pid')),
          })),
      );
    },
    async brick(name, bytes = BRICK_BYTES): Promise<string> {
      ensureDirectory(`${directory}/images`);
      const image = `${directory}/images/${name}`;
      makeSparseFile(image, bytes);
      const point = `${daemon.brickRoot}/${name}`;
      // Loop devices that the kernel lets go by itself when the mount goes.
      await sh('mkfs.xfs -q "$1"; mkdir -p "$2"; mount -o loop "$1" "$2"; mkdir "$2/data"', image, point);
      return `${daemon.address}:${point}/data`;
    },
    async mount(volume, there = `/run/client-${volume}`): Promise<string> {
      await sh(
        'mkdir -p "$2"; mount -t glusterfs "$1" "$2"; mountpoint -q "$2"',
        `${daemon.address}:/${volume}`,
        there,
      );
      return there;
    },
    async unmount(there): Promise<void> {
      await sh('umount "$1"', there);
    },
    async link(state): Promise<void> {
      await runOk(['ip', '-netns', node.namespace, 'link', 'set', 'up0', state]);
    },
  };
}
