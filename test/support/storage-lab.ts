/** A lab whose nodes keep volumes: commands as people type them, and what is there of storage beside their answers. */
import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { askDaemon } from '../../lab/daemons.ts';
import type { Lab, LabContainer } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { namesIn } from '../../linux/directories.ts';
import { loopsInUse } from '../../linux/loop.ts';
import { type ProcessId, processesInNetns } from '../../linux/process.ts';
import { asSluiceError } from '../../model/errors.ts';
import { VolumeShown } from '../../model/volume-request.ts';

const Mounted = z.object({ id: z.string(), hostPath: z.string() });
export type Mounted = z.infer<typeof Mounted>;

/** @throws Error with what it said, when it fails */
export async function typed(node: LabNode, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await node.sluice(args);
  if (code !== 0) throw new Error(`sluice ${args.join(' ')} exits with ${code}: ${stdout}${stderr}`);
  return stdout;
}

/** As the node's server tells it: tests ask again and again. @returns undefined when there is no such volume */
export async function shown({ runDir }: LabNode, name: string): Promise<VolumeShown | undefined> {
  try {
    return VolumeShown.parse(await askDaemon(runDir, 'server', 'GET', `/v1/volumes/${name}?tenant=blue`));
  } catch (thrown) {
    if (asSluiceError(thrown).code === 'not_found') return undefined;
    throw thrown;
  }
}

export async function mount(node: LabNode, volume: string, { id }: LabContainer): Promise<Mounted> {
  const args = ['volume', 'mount', volume, '--tenant', 'blue', '--container', id, '--json'];
  return Mounted.parse(JSON.parse(await typed(node, ...args)));
}

/** Gluster's processes of a node, by program. */
export function glusterOf(node: LabNode, program: 'glusterd' | 'glusterfsd' | 'glusterfs'): ProcessId[] {
  return processesInNetns(node.netns).filter(({ pid }) => programOf(pid) === program);
}

function programOf(pid: number): string {
  try {
    const [path = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return path.split('/').at(-1) ?? '';
  } catch {
    return '';
  }
}

/** What a node's disk has of bricks, and the devices that show it. */
export function bricksOf({ stateDir }: LabNode): string[] {
  const pool = `${stateDir}/storage/pool`;
  const devices = loopsInUse().filter(({ file }) => file.startsWith(`${pool}/`));
  return [...namesIn(pool), ...devices.map(({ device }) => device)];
}

/** Of all nodes, after everything was taken away. */
export function remains(lab: Lab): string[] {
  const loops = loopsInUse().filter(({ file }) => file.startsWith(`${lab.directory}/`));
  const programs = (['glusterd', 'glusterfsd', 'glusterfs'] as const).flatMap((program) =>
    lab.nodes.flatMap((node) =>
      glusterOf(node, program).map(({ pid }) => `${program} ${pid} on ${node.name}`),
    ),
  );
  return [...loops.map(({ device, file }) => `${device} ${file}`), ...programs];
}
