/** Takes away what is there of a lab, whether this process built it or one that was killed. */
import * as z from 'zod';
import { clearCgroup } from '../linux/cgroups.ts';
import { namesIn } from '../linux/directories.ts';
import { readTextIfThere, removeIfThere, writeAtomically } from '../linux/files.ts';
import { endLastingBelow } from '../linux/lasting-namespaces.ts';
import { unmountBelow } from '../linux/mounts.ts';
import { identify, isAlive, type ProcessId, processesInNetns, stopProcess } from '../linux/process.ts';
import { removeTree } from '../linux/tree.ts';
import { SluiceError } from '../model/errors.ts';
import { netnsPath, removeNetwork } from './network.ts';
import { belongsTo, groupOf, NETNS_DIRECTORY, type Topology } from './topology.ts';

const ProcessRecord = z.object({ pid: z.int(), startedAt: z.int() });
const OWNER = 'owner.json';
const DAEMONS = 'daemons';

/** @throws SluiceError `conflict` when another process that lives has a lab of this name. */
export function claim({ directory, prefix }: Topology): void {
  const owner = readProcess(`${directory}/${OWNER}`);
  if (owner !== undefined && owner.pid !== process.pid && isAlive(owner)) {
    throw new SluiceError(
      'conflict',
      `process ${owner.pid} has a lab called ${prefix}`,
      'end it first, or choose another prefix',
    );
  }
  const self = identify(process.pid);
  writeAtomically(`${directory}/${OWNER}`, JSON.stringify(self));
}

/** Writes a process down before anything else happens, so that a later run can end it. */
export function recordDaemon({ directory }: Topology, id: ProcessId): void {
  writeAtomically(`${directory}/${DAEMONS}/${id.pid}.json`, JSON.stringify(id));
}

/**
 * The nodes are not asked: all they have put up is in namespaces and below the lab's directory, and goes with these.
 * Goes on past failures, and may be repeated.
 * @returns what could not be taken away, in words
 */
export async function removeLab(
  { directory, prefix }: Topology,
  beforeRemoval?: (nodeDirectory: string) => Promise<void>,
): Promise<string[]> {
  const failures: string[] = [];
  const attempt = async (what: string, step: () => void | Promise<void>): Promise<void> => {
    try {
      await step();
    } catch (error) {
      failures.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  for (const node of namesIn(`${directory}/nodes`)) {
    await attempt(`what runs on ${node}`, async () => beforeRemoval?.(`${directory}/nodes/${node}`));
  }
  const daemons = namesIn(`${directory}/${DAEMONS}`);
  await Promise.all(
    daemons.map((file) => attempt(`process ${file}`, () => endRecorded(`${directory}/${DAEMONS}/${file}`))),
  );
  await attempt('processes', () => endInhabitants(prefix));
  await attempt('storage', () => endLastingBelow(directory));
  await attempt('control groups', () => clearCgroup(groupOf(prefix)));
  await attempt('namespaces', () => removeNetwork(prefix));
  await attempt('mounts', () => unmountBelow(directory));
  await attempt('files', () => removeTree(directory));
  return failures;
}

/** Whoever is inside one of the lab's namespaces, such as daemons whose supervisor was killed. */
async function endInhabitants(prefix: string): Promise<void> {
  for (const name of namesIn(NETNS_DIRECTORY).filter((one) => belongsTo(prefix, one))) {
    await Promise.all(processesInNetns(netnsPath(name)).map((id) => stopProcess(id)));
  }
}

async function endRecorded(file: string): Promise<void> {
  const id = readProcess(file);
  if (id !== undefined) await stopProcess(id);
  removeIfThere(file);
}

function readProcess(file: string): ProcessId | undefined {
  const text = readTextIfThere(file);
  if (text === undefined) return undefined;
  const parsed = ProcessRecord.safeParse(JSON.parse(text));
  return parsed.success ? parsed.data : undefined;
}
