/** `sluice status`: how the node of this run directory is. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Argv } from 'yargs';
import { show, table } from '../output.ts';
import { placesOf } from '../places.ts';
import {
  type FenceStatus,
  type GuardStatus,
  type NodeStatus,
  nodeStatus,
  type StorageStatus,
} from '../supervisor/status.ts';
import { nodePlaces } from '../supervisor/up-file.ts';
import type { Command } from './command.ts';
import type { Common } from './options.ts';

interface StatusFlags extends Common {
  readonly wait?: boolean;
  readonly timeout?: number;
}

export const status: Command<StatusFlags> = { flags: statusFlags, run: runStatus };

function statusFlags(yargs: Argv): Argv {
  return yargs
    .option('wait', { type: 'boolean', default: false, describe: 'Wait until the node is ready' })
    .option('timeout', { type: 'number', default: 60, describe: 'Seconds to wait at most' });
}

const LOOK_EVERY_MS = 100;

/** Exit code 0: ready; 6: not ready; 5: nothing answers. */
async function runStatus({ wait, timeout = 60, json }: StatusFlags): Promise<void> {
  const places = nodePlaces(process.env, placesOf(process.env));
  const until = Date.now() + timeout * 1_000;
  let status = await nodeStatus(places);
  while (wait && !status.ready && Date.now() < until) {
    await sleep(LOOK_EVERY_MS);
    status = await nodeStatus(places);
  }
  show(json, status, () => textOf(status));
  process.exitCode = exitCodeOf(status);
}

function exitCodeOf({ ready, daemons }: NodeStatus): number {
  if (ready) return 0;
  return daemons.some(({ up }) => up) ? 6 : 5;
}

function textOf({ node, ready, daemons, fence, guard, storage }: NodeStatus): string {
  const rows = daemons.map((one) => [
    one.daemon,
    one.up ? 'up' : 'down',
    one.ready ? 'ready' : 'not ready',
    one.reason ?? '',
  ]);
  const hints = [...new Set(daemons.map(({ hint }) => hint))].filter((hint) => hint !== null);
  return [
    `node ${node ?? '(unknown)'} is ${ready ? 'ready' : 'not ready'}`,
    table(['daemon', 'process', 'state', 'reason'], rows, ''),
    ...(fence === null ? [] : fenceLines(fence)),
    ...(guard === null ? [] : guardLines(guard)),
    ...(storage === null ? [] : storageLines(storage)),
    ...hints.map((hint) => `  → ${hint}`),
  ].join('\n');
}

/** Where nobody has rules there is nothing to tell. */
function guardLines({ tenants, ready, refusedLately }: GuardStatus): string[] {
  if (tenants === 0) return [];
  const state = ready ? '' : ', NOT JUDGING: nothing new of theirs gets out';
  return [`guard: tenants with rules ${tenants}, flows refused in the last minute ${refusedLately}${state}`];
}

/** Where there is nothing of volumes there is nothing to tell. */
function storageLines({ keepsBricks, gluster, bricks, mounts, broken, problem }: StorageStatus): string[] {
  if (bricks === 0 && mounts === 0 && gluster !== 'down') return [];
  const here = keepsBricks ? `bricks ${bricks}, ` : '';
  const dead = broken === 0 ? '' : ` (${broken} without a client, about to get another)`;
  return [
    `shared volumes: ${here}mounts ${mounts}${dead}, Gluster ${gluster}`,
    ...(problem === null ? [] : [`  ${problem}`]),
  ];
}

/** A node that stands alone has nobody to prove its fence against. */
function fenceLines({ peers, unwell, failures }: FenceStatus): string[] {
  const counts = Object.entries(peers).filter(([, number]) => number > 0);
  if (counts.length === 0 && failures.length === 0) return [];
  const peersAre = counts.map(([state, number]) => `${number} ${state}`).join(', ');
  return [
    `fence probes: peers ${peersAre}`,
    ...unwell.map(({ node, state }) => `  node ${node} is ${state}`),
    ...failures.map((sentence) => `  THE FENCE IS BROKEN: ${sentence}`),
  ];
}
