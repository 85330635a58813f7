/** Gluster of a lab's node, asked past storaged: its processes, and its own commands. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { LabNode } from '../../lab/node.ts';
import { findLasting, insideLasting, pathInside, processesInMounts } from '../../linux/lasting-namespaces.ts';
import type { Argv, ProcessId } from '../../linux/process.ts';
import { SluiceError } from '../../model/errors.ts';
import { createGlusterCluster, type GlusterCommands } from '../../storaged/gluster/cluster.ts';
import { glusterCommand } from '../../storaged/gluster/command.ts';
import { markerOf, placeOf } from '../../storaged/gluster/namespaces.ts';
import { storagePlaces } from '../../storaged/open-parts.ts';

const PROGRAMS = ['glusterd', 'glusterfsd', 'glusterfs'] as const;
export type GlusterProgram = (typeof PROGRAMS)[number];

export interface NodesGluster {
  readonly cluster: GlusterCommands;
  /** A program, as it is run beside glusterd. */
  inside(argv: Argv): Argv;
  /** As a file of its namespaces is called outside. */
  path(inside: string): string;
  /** Without clients that are mounted, which have namespaces of their own. */
  processes(program: GlusterProgram): ProcessId[];
}

/** @throws SluiceError `not_found` where none runs */
export async function glusterOn(node: LabNode): Promise<NodesGluster> {
  const { gluster } = storagePlaces(node);
  const found = await findLasting({ marker: markerOf(gluster), lockFile: placeOf(gluster).lockFile });
  if (found === undefined)
    throw new SluiceError('not_found', `node ${node.name} has no Gluster`, `see ${node.logFile}`);
  const inside = (argv: Argv): Argv => insideLasting(found, argv);
  return {
    ...{ inside, cluster: createGlusterCluster(glusterCommand({ inside })) },
    path: (file) => pathInside(found, file),
    processes: (program) => processesInMounts(found.inode).filter(({ pid }) => programOf(pid) === program),
  };
}

function programOf(pid: number): string {
  try {
    const [program = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return path.basename(program);
  } catch {
    return '';
  }
}
