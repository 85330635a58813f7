/** Gluster of a lab's node, asked past storaged: its processes, and its own commands. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { LabNode } from '../../lab/node.ts';
import { findLasting, insideLasting, pathInside, processesInMounts } from '../../linux/lasting-namespaces.ts';
import type { Argv, ProcessId } from '../../linux/process.ts';
import { SluiceError } from '../../model/errors.ts';
import { glusterCommand } from '../../storaged/gluster/command.ts';
import { markerOf, placeOf } from '../../storaged/gluster/namespaces.ts';
import { at, childrenOf, textAt } from '../../storaged/gluster/xml.ts';
import { storagePlaces } from '../../storaged/open-parts.ts';

const PROGRAMS = ['glusterd', 'glusterfsd', 'glusterfs'] as const;
/** It looks into every brick. */
const HEAL_INFO_MS = 60_000;
export type GlusterProgram = (typeof PROGRAMS)[number];

/** Bricks' processes and those that heal, of all nodes. */
export interface Serving {
  readonly up: number;
  readonly down: number;
}

export interface NodesGluster {
  /** @param volume  Gluster's name, or `all` that are started */
  serving(volume: string): Promise<Serving>;
  /** Files, directories and pieces that some copy has to catch up with. */
  toHeal(volume: string): Promise<number>;
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
  const command = glusterCommand({ inside });
  return {
    inside,
    async serving(volume): Promise<Serving> {
      const volumes = at(await command(['volume', 'status', volume]), 'volStatus', 'volumes');
      const all = childrenOf(volumes, 'volume').flatMap((one) => childrenOf(one, 'node'));
      const up = all.filter((one) => textAt(one, 'status') === '1').length;
      return { up, down: all.length - up };
    },
    async toHeal(volume): Promise<number> {
      const info = await command(['volume', 'heal', volume, 'info', 'summary'], { timeoutMs: HEAL_INFO_MS });
      const bricks = childrenOf(at(info, 'healInfo', 'bricks'), 'brick');
      return Math.max(...bricks.map((brick) => Number(textAt(brick, 'totalNumberOfEntries')) || 0));
    },
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
