/** Whether Gluster serves a volume: then what is read from its bricks may be half of what somebody is writing. */
import path from 'node:path';
import { commandOf, type LastingNamespaces, processesInMounts } from '../linux/lasting-namespaces.ts';
import { hasOpenBelow } from '../linux/open-files.ts';
import { SluiceError } from '../model/errors.ts';
import type { NodeName } from '../model/names.ts';
import { glusterName, replicaSetsOf, type Volume } from '../model/volume.ts';
import { nameOf } from './bricks/records.ts';
import type { GlusterCluster, GlusterDaemon } from './contract.ts';
import { createGlusterCluster } from './gluster/cluster.ts';
import { glusterCommand } from './gluster/command.ts';
import { hasQuorum } from './gluster/quorum.ts';
import { readWritten } from './gluster/written.ts';

export interface Serving {
  /** By the record's numbers, as glusterd tells; undefined: it does not, or does not know the volume. */
  readonly online: readonly boolean[] | undefined;
  /** Processes that have a brick of this node open. */
  readonly pids: readonly number[];
}

export interface ServingWorld {
  readonly node: NodeName;
  readonly daemon: GlusterDaemon;
  readonly namespaces: LastingNamespaces;
}

export async function servingOf(volume: Volume, world: ServingWorld): Promise<Serving> {
  const { daemon, namespaces, node } = world;
  const points = volume.bricks.flatMap((brick, index) =>
    brick.node === node ? [`${daemon.brickRoot}/${nameOf({ volume: volume.id, index })}`] : [],
  );
  const servers = processesInMounts(namespaces.inode).filter(
    (id) => path.basename(commandOf(id)[0] ?? '') === 'glusterfsd',
  );
  // A process may serve many bricks, and its command line names one of them.
  const pids = servers
    .map(({ pid }) => pid)
    .filter((pid) => points.some((point) => hasOpenBelow(pid, point)));
  if (!daemon.isAlive()) return { online: undefined, pids };
  const command = glusterCommand({ inside: (argv) => daemon.inside(argv) });
  const cluster = createGlusterCluster(command, readWritten(daemon.kept));
  // That it cannot be asked may be why somebody is here.
  return { online: await onlineOf(volume, cluster).catch(() => undefined), pids };
}

/** Gluster leaves out the bricks of nodes that do not answer. */
async function onlineOf(
  { id, bricks }: Volume,
  cluster: Pick<GlusterCluster, 'volumes' | 'status'>,
): Promise<readonly boolean[] | undefined> {
  const present = (await cluster.volumes()).find(({ name }) => name === glusterName(id));
  if (present === undefined) return undefined;
  if (present.state !== 'started') return bricks.map(() => false);
  const serving = new Set(
    (await cluster.status(present.name)).filter(({ online }) => online).map(({ name }) => name),
  );
  return bricks.map((_, index) => serving.has(present.bricks[index]?.name ?? ''));
}

/** Why its bricks must not be read; undefined: nobody can write to them. Pure. */
export function refusalOf(volume: Volume, { online, pids }: Serving): SluiceError | undefined {
  const { name } = volume;
  if (online === undefined) {
    if (pids.length === 0) return undefined;
    const those = pids.join(' ');
    return new SluiceError(
      'refused',
      `glusterd does not tell who serves volume ${name}, and processes that serve its bricks live here: ${those}`,
      `end them first, so that nobody writes: kill ${those}`,
    );
  }
  let before = 0;
  const isWritten = replicaSetsOf(volume).some(({ length }) => {
    before += length;
    return hasQuorum(online.slice(before - length, before));
  });
  if (!isWritten) return undefined;
  return new SluiceError(
    'refused',
    `Gluster serves volume ${name}: what is read from its bricks may be half of what is being written`,
    `mount it (sluice volume mount ${name}); or stop it, which keeps its data for a while (sluice volume delete ${name}; undelete brings it back)`,
  );
}
