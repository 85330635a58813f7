/** `sluice down`: stops what runs and takes everything of the node out of the kernel. State on disk stays. */
import { setTimeout as sleep } from 'node:timers/promises';
import { removeEmptyDirectory, removeFile } from '../../linux/directories.ts';
import { ownNetnsInode } from '../../linux/netns.ts';
import { isAlive, stopProcess } from '../../linux/process.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import type { NodeName } from '../../model/names.ts';
import { removeNode } from '../../netd/remove.ts';
import { removeViews } from '../../netd/views.ts';
import { bpffsOf } from '../../tagqueue/pins.ts';
import { removePlane } from '../../tagqueue/remove.ts';
import { daemonLockOf, daemonRuns } from '../daemon-lock.ts';
import { DAEMONS, type Places, socketOf } from '../places.ts';
import { removeStorageOf } from './storage.ts';
import { readUpRecord, type UpRecord, upFileOf, upLockOf } from './up-file.ts';

export interface DownReport {
  readonly node: NodeName;
  /** What was taken away, in words. */
  readonly removed: readonly string[];
  /** What could not be, and why. */
  readonly failed: readonly string[];
}

/** @throws SluiceError `refused` when the dead `up` lived in another network namespace, where we cannot clean */
export function checkNamespace(record: UpRecord | undefined): void {
  if (record === undefined || isAlive(record) || record.netns === ownNetnsInode) return;
  throw new SluiceError(
    'refused',
    `node ${record.node} lived in another network namespace (${record.netns}), and \`sluice up\` does not run any more`,
    'run this in that namespace (ip netns exec NAME sluice down); if it is gone, say --force',
  );
}

/** Call it inside the node's namespaces. May be repeated; goes on past what fails. */
export async function down(node: NodeName, places: Places): Promise<DownReport> {
  const stopped = await stopUp(readUpRecord(places));
  await othersStopped(places);
  const removed = stopped ? ['the daemons'] : [];
  const failed: string[] = [];
  await attempt('shared volumes', failed, async () => removed.push(...(await removeStorageOf(places))));
  const network = await attempt('the network', failed, () => removeNode(node, places.stateDir));
  removed.push(...(network?.removed ?? []));
  failed.push(...(network?.failed ?? []));
  await attempt('the views of containers', failed, async () => {
    if (await removeViews(node, places.runDir)) removed.push('lxcfs');
  });
  await attempt('the fence', failed, async () => {
    const found = await removePlane(node, places.runDir, places.stateDir);
    if (found) removed.push('eBPF programs, maps and their pins');
  });
  removed.push(...removeRunFiles(places));
  return { node, removed, failed };
}

async function attempt<T>(what: string, failed: string[], step: () => Promise<T>): Promise<T | undefined> {
  try {
    return await step();
  } catch (error) {
    failed.push(`${what}: ${asSluiceError(error).message}`);
    return undefined;
  }
}

/** It gives each daemon up to 20 s (supervise.ts). */
const STOP_WITHIN_MS = 70_000;

/** @returns whether it ran. */
async function stopUp(record: UpRecord | undefined): Promise<boolean> {
  if (record === undefined || !isAlive(record)) return false;
  await stopProcess(record, STOP_WITHIN_MS);
  return true;
}

const LOOK_EVERY_MS = 20;
const OTHERS_STOP_WITHIN_MS = 20_000;

/** Orphans of a killed supervisor end by themselves; daemons of an init system must be stopped there. */
async function othersStopped(places: Places): Promise<void> {
  for (const until = Date.now() + OTHERS_STOP_WITHIN_MS; ; ) {
    const still = DAEMONS.filter((daemon) => daemonRuns(places, daemon));
    if (still.length === 0) return;
    if (Date.now() > until) {
      throw new SluiceError(
        'conflict',
        `${still.join(' and ')} still run in ${places.runDir}`,
        'stop them first: systemctl stop sluice.target',
      );
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/** @returns what was there. */
function removeRunFiles(places: Places): string[] {
  const daemons = DAEMONS.flatMap((daemon) => [socketOf(places, daemon), daemonLockOf(places, daemon)]);
  const files = [...daemons, upFileOf(places), upLockOf(places)];
  const removed = files.filter((file) => removeFile(file));
  const directories = [bpffsOf(places.runDir), places.runDir].filter((directory) =>
    removeEmptyDirectory(directory),
  );
  return [...removed, ...directories];
}
