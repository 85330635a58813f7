/** Gives a running node other programs: only its tagqueue is started anew, the rest of the node goes on. */
import type { LabNode, StartOptions } from '../../lab/node.ts';
import { writeAtomically } from '../../linux/files.ts';
import { identify, stopProcess } from '../../linux/process.ts';
import { processOf, until, waitReady } from '../faults/crashes.ts';

/** The supervisor has to start a daemon again at once, however often it ends: see `letFail`. */
export async function exchangeFence(node: LabNode, config: StartOptions['config']): Promise<void> {
  writeAtomically(node.env['SLUICE_CONFIG']!, JSON.stringify(config));
  const before = processOf(node, 'tagqueue');
  const victim = before === undefined ? undefined : identify(before);
  if (victim === undefined) throw new Error(`node ${node.name} has no tagqueue`);
  await stopProcess(victim);
  await until('there is another tagqueue', () => ![undefined, before].includes(processOf(node, 'tagqueue')));
  await waitReady(node);
}
