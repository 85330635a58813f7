/** Nodes with all that a Sluice node has, but for the eBPF programs: the difference is what the fence costs. */

import type { LabNode } from '../../lab/node.ts';
import { runOk } from '../../linux/process.ts';
import { inside } from '../inside.ts';
import type { Path } from './measures.ts';

/** Stops the daemons, which would put them back, and takes the programs off the uplink and off every port. */
export async function stripPrograms(node: LabNode): Promise<void> {
  await node.stop();
  const qdiscs = JSON.parse(await node.exec(['tc', '-json', 'qdisc', 'show'])) as {
    kind: string;
    dev: string;
  }[];
  for (const { dev } of qdiscs.filter(({ kind }) => kind === 'clsact')) {
    await node.exec(['tc', 'qdisc', 'delete', 'dev', dev, 'clsact']);
  }
}

/** One echo must come back within five seconds. @throws SluiceError `program_failed` */
export async function proveFlow({ from, to }: Path): Promise<void> {
  await runOk(inside(from, ['ping', '-q', '-c', '1', '-w', '5', to.internal]));
}
