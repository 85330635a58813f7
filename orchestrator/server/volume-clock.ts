/** Keeps volumes' phases going, whoever dies: looks at what nodes have told and at the time, and writes what follows. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterNode } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import type { Log } from '../../model/log.ts';
import type { NodeName } from '../../model/names.ts';
import type { Volume, VolumeId } from '../../model/volume.ts';
import type { VolumeEvent } from '../../model/volume-report.ts';
import type { Store } from '../../store/contract.ts';
import { PATHS, readAll } from './layout.ts';
import type { Mutate } from './mutate.ts';
import type { VolumeReports } from './volume-reports.ts';
import { nextStep, type Step, type StorageWorld } from './volume-steps.ts';
import { allGrowths, allVolumes, findVolume, growthOf, type KeptVolume } from './volume-store.ts';

export interface VolumeClockOptions {
  readonly store: Store;
  readonly reports: VolumeReports;
  readonly mutate: Mutate;
  /** Unix time in ms. */
  readonly now: () => number;
  /** Called at each point where a crash would be interesting; names in docs/configuration.md. */
  readonly checkpoint: (point: string) => void;
  readonly log: Log;
}

/** What somebody has done to a volume; for tests of crashes. */
export type VolumeDeed = 'created' | 'resized' | 'limited' | 'deleted' | 'undeleted' | 'hosted' | 'moved';

export interface VolumeClock {
  /** Begins to look: once, when it is certain that no other server does on this store. */
  start(): void;
  changed(what: VolumeDeed): void;
  /** A node has told of it. */
  befell(node: NodeName, event: VolumeEvent): void;
  close(): Promise<void>;
}

/** Silence makes no noise: a coordinator that died is found out by looking. */
const LOOK_EVERY_MS = 1_000;

/** It does nothing yet. */
export function makeVolumeClock(options: VolumeClockOptions): VolumeClock {
  const { reports, checkpoint, log } = options;
  const stop = new AbortController();
  let wake = Promise.withResolvers<void>();
  let running = Promise.resolve();
  const wakeUp = (): void => wake.resolve();

  async function look(): Promise<void> {
    try {
      const growths = await allGrowths(options.store);
      const world = await worldNow(options);
      for (const kept of await allVolumes(options.store))
        if (nextStep(kept, growths.get(kept.one.id), world) !== undefined)
          await takeSteps(kept.one.id, options);
    } catch (error) {
      if (!stop.signal.aborted) log.error({ err: error }, 'volumes could not be looked after; trying again');
    }
  }

  async function run(): Promise<void> {
    stop.signal.addEventListener('abort', wakeUp, { once: true });
    while (!stop.signal.aborted) {
      wake = Promise.withResolvers();
      await look();
      await Promise.race([wake.promise, sleep(LOOK_EVERY_MS, undefined, { ref: false })]);
    }
  }

  return {
    start: () => {
      reports.changed = wakeUp;
      running = run();
    },
    changed: (what) => {
      checkpoint(`volume:${what}`);
      reports.news.tell();
      wakeUp();
    },
    befell: (node, event) => log.warn({ node, ...event }, event.text),
    close: async () => {
      stop.abort();
      await running;
    },
  };
}

/** One may follow from the other at once; so many in a row do not. */
const MOST_STEPS = 4;

async function takeSteps(id: VolumeId, options: VolumeClockOptions): Promise<void> {
  const { store, reports } = options;
  for (let i = 0; i < MOST_STEPS; i++) {
    const kept = await findVolume(store, id);
    if (kept === undefined) return;
    const step = nextStep(kept, await growthOf(store, id), await worldNow(options));
    if (step === undefined) return;
    // Told to whoever waits: before, so that nobody sees the one without the other.
    if (step.failed) reports.failed(id, step.why);
    if (!(await takeStep(kept, step, options))) return;
    if (step.to === null) reports.forgetVolume(id);
    reports.news.tell();
  }
}

async function worldNow({ store, reports, now }: VolumeClockOptions): Promise<StorageWorld> {
  const nodes = await readAll(store, PATHS.nodes, ClusterNode);
  return {
    now: now(),
    nodes: new Map(nodes.map((one) => [one.node, one])),
    told: (node) => reports.node(node),
    silentMs: (node) => reports.silentMs(node),
    idleMs: (volume, node) => reports.idleMs(volume, node),
  };
}

/** @returns false when somebody else has changed it meanwhile, so that it must be looked at again */
async function takeStep(
  { one, revision }: KeptVolume,
  { point, operation, why, failed, to, endsGrowth }: Step,
  { store, mutate, checkpoint, log }: VolumeClockOptions,
): Promise<boolean> {
  checkpoint(`volume:${point}:before`);
  const subject = subjectOf(one);
  try {
    await mutate({ who: { role: 'server' }, operation, subject, reason: why }, async () => {
      if ((await findVolume(store, one.id))?.revision !== revision) throw changedMeanwhile();
      const key = PATHS.volumes + one.id;
      const gone = [...(to === null ? [key] : []), ...(endsGrowth ? [PATHS.growths + one.id] : [])];
      return {
        put: to === null ? [] : [{ key, value: to }],
        delete: gone,
        detail: { before: one, after: to },
        result: undefined,
      };
    });
  } catch (error) {
    if (error instanceof SluiceError && error.code === 'conflict') return false;
    throw error;
  }
  log[failed ? 'warn' : 'info']({ volume: one.id, point, why }, `${subject}: ${why}`);
  checkpoint(`volume:${point}`);
  return true;
}

/** As the audit log and the daemon's own log name a volume. */
export function subjectOf({ tenant, name, id }: Pick<Volume, 'tenant' | 'name' | 'id'>): string {
  return `volume ${name} of tenant ${tenant} ${id}`;
}

function changedMeanwhile(): SluiceError {
  return new SluiceError('conflict', 'the volume was changed meanwhile', 'look again');
}
