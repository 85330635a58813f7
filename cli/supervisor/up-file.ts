/** What `sluice up` writes down about itself, so that the other commands find it: RUN_DIR/up.json. */
import path from 'node:path';
import * as z from 'zod';
import { readTextIfThere, writeAtomically } from '../../linux/files.ts';
import { IfName, NodeName } from '../../model/names.ts';
import type { Places } from '../places.ts';

export const UpRecord = z.object({
  pid: z.int().min(1),
  /** Of the process, in clock ticks since boot: a pid alone may be another process by now. */
  startedAt: z.int(),
  node: NodeName,
  uplink: IfName,
  /** The network namespace the node lives in. */
  netns: z.int(),
  stateDir: z.string(),
  /** HOST:PORT where the cluster's server listens; null: only this machine can ask it. */
  server: z.string().nullable(),
  daemons: z.array(z.enum(['server', 'tagqueue', 'netd', 'storaged'])),
  /** ISO 8601, UTC. */
  started: z.string(),
});
export type UpRecord = z.infer<typeof UpRecord>;

type RunDir = Pick<Places, 'runDir'>;

export function upFileOf({ runDir }: RunDir): string {
  return path.join(runDir, 'up.json');
}

/** Held by `up` for as long as it lives; the record alone says nothing about life. */
export function upLockOf({ runDir }: RunDir): string {
  return path.join(runDir, 'up.lock');
}

/** The last `up` of this run directory, whether it lives or not. A file nobody can read is no record. */
export function readUpRecord(places: RunDir): UpRecord | undefined {
  const text = readTextIfThere(upFileOf(places));
  if (text === undefined) return undefined;
  try {
    return UpRecord.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

export function writeUpRecord(places: RunDir, record: UpRecord): void {
  writeAtomically(upFileOf(places), `${JSON.stringify(record, undefined, 2)}\n`);
}

/** The places of the node of this run directory: its state is where its last `up` had it, unless the environment says. */
export function nodePlaces(env: NodeJS.ProcessEnv, places: Places): Places {
  const stateDir = env['SLUICE_STATE_DIR'] ? undefined : readUpRecord(places)?.stateDir;
  return stateDir === undefined ? places : { ...places, stateDir };
}
