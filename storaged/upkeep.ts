/** Looks after mounts: those of dead containers end, replaced clients are told of, volumes' limits follow their records. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeView } from '../model/cluster-changes.ts';
import { asSluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import type { Containers } from './containers.ts';
import type { Mount } from './contract.ts';
import type { StorageParts } from './parts.ts';

export interface UpkeepWorld {
  readonly parts: StorageParts;
  readonly containers: Containers;
  /** Mounts are not what they were. */
  changed(): void;
  readonly signal: AbortSignal;
  readonly log: Log;
}

export interface Upkeep {
  /** What is wanted of volumes may have changed. */
  follow(volumes: NodeView['volumes']): Promise<void>;
  /** What an earlier run has left could not be opened: it is tried again. */
  notYet(error: unknown): void;
  stop(): Promise<void>;
}

const LOOK_EVERY_MS = 250;
const JUDGE_EVERY_MS = 2_000;

export function keepMounts(world: UpkeepWorld): Upkeep {
  const { parts, containers, signal, log } = world;
  let before = '';
  let judgedAt = 0;
  let lacking = false;
  /** As last told: what is opened late has it from here. */
  let wanted: NodeView['volumes'] = new Map();

  function look(mounts: readonly Mount[]): void {
    const now = JSON.stringify(mounts.map(({ id, state, replaced: times }) => [id, state, times]));
    if (now !== before) world.changed();
    before = now;
  }

  async function judge(): Promise<void> {
    const { mounts } = parts.open;
    if (mounts === undefined || mounts.keeper.mounts().length === 0) return;
    const isAlive = await containers.judge();
    if (isAlive !== undefined) await mounts.keeper.keepOnly(isAlive);
  }

  async function round(): Promise<void> {
    if (lacking) {
      await parts.mounts();
      lacking = false;
      await follow(wanted);
    }
    const { mounts } = parts.open;
    if (mounts === undefined) return;
    look(mounts.keeper.mounts());
    if (performance.now() - judgedAt < JUDGE_EVERY_MS) return;
    judgedAt = performance.now();
    await judge();
  }

  async function run(): Promise<void> {
    let told = '';
    while (!signal.aborted) {
      await round().catch((error: unknown) => {
        const { message } = asSluiceError(error);
        if (message !== told) log.warn({ reason: message }, 'mounts are not looked after');
        told = message;
      });
      await sleep(LOOK_EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  async function follow(volumes: NodeView['volumes']): Promise<void> {
    wanted = volumes;
    const { mounts } = parts.open;
    if (mounts === undefined) return;
    for (const id of new Set(mounts.keeper.mounts().map(({ volume }) => volume))) {
      const volume = volumes.get(id);
      if (volume === undefined) continue;
      await mounts.shares
        .set({ volume: id }, volume.nodeLimits)
        .catch((error: unknown) =>
          log.warn({ volume: id, reason: asSluiceError(error).message }, 'limits not set'),
        );
    }
  }

  const ended = run();
  return {
    follow,
    notYet: (error) => {
      lacking = true;
      log.warn({ reason: asSluiceError(error).message }, 'mounts of an earlier run are not looked after yet');
    },
    stop: () => ended,
  };
}
