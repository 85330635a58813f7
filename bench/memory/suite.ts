/** P10: what netd, tagqueue and storaged of a node weigh together, with endpoints attached and nothing to do. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createLab, type Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { UPLINK } from '../../lab/topology.ts';
import { writeAtomically } from '../../linux/files.ts';
import { type Daemon, startDaemon } from '../../linux/process.ts';
import { SluiceError } from '../../model/errors.ts';
import { inside } from '../inside.ts';
import type { Measurement } from '../rows.ts';
import { rounded } from '../statistics.ts';
import type { SuiteContext } from '../suite.ts';
import { sluiceAlone } from './alone.ts';
import { type Weight, weighNode } from './processes.ts';

const ENDPOINTS = 64;
/** What an idle Node gives back, it has given back by then. */
const IDLE_MS = 10_000;
const MEGABYTE = 1e6;
const COUNTED = ['netd', 'tagqueue', 'storaged'];
const TENANT = 'blue';

export async function measureMemory(context: SuiteContext): Promise<Measurement[]> {
  if (!context.wanted.has('P10.memory')) return [];
  const { progress, signal } = context;
  const lab = await createLab({ prefix: 'slbmem', nodes: ['a'] });
  let up: Daemon | undefined;
  try {
    progress('starting a node');
    up = await startAlone(lab.node('a'));
    await ready(lab.node('a'));
    await lab.tenant(TENANT);
    await attachAll(lab, context);
    progress(`P10.memory idle for ${IDLE_MS / 1_000} s`);
    await sleep(IDLE_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    return [measurementOf(weighNode(up.id.pid))];
  } finally {
    await up?.stop();
    await lab.close();
  }
}

async function attachAll(lab: Lab, { progress, signal }: SuiteContext): Promise<void> {
  progress(`P10.memory attaching ${ENDPOINTS} endpoints`);
  for (let index = 0; index < ENDPOINTS; index += 1) {
    signal.throwIfAborted();
    await lab.container('a', TENANT, `c${index}`);
  }
}

async function startAlone(node: LabNode): Promise<Daemon> {
  const sluice = await sluiceAlone();
  writeAtomically(`${node.env['SLUICE_CONFIG']}`, '{}');
  const up = [sluice, 'up', '--node', node.name, '--uplink', UPLINK] as const;
  return startDaemon(inside(node, up), { env: node.env, logFile: node.logFile });
}

/** @throws SluiceError `not_ready` */
async function ready(node: LabNode): Promise<void> {
  const { code, stdout, stderr } = await node.sluice(['status', '--wait']);
  if (code !== 0) throw new SluiceError('not_ready', `${stdout}${stderr}`, `see ${node.logFile}`);
}

function measurementOf(weights: readonly Weight[]): Measurement {
  const counted = weights.filter(({ role }) => COUNTED.includes(role));
  const value = counted.reduce((sum, { pssBytes }) => sum + pssBytes, 0) / MEGABYTE;
  const processes = weights.map(({ role, pssBytes, privateBytes }) => {
    return {
      role,
      pssMegabytes: rounded(pssBytes / MEGABYTE),
      privateMegabytes: rounded(privateBytes / MEGABYTE),
    };
  });
  return {
    id: 'P10.memory',
    value,
    rounds: [value],
    ours: value,
    baseline: undefined,
    details: { processes },
  };
}
