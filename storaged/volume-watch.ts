/** How the volumes that this node coordinates are: bricks' processes, room, what is still to be healed; and what befell them. */
import { asSluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import { glusterName, replicaSetsOf, type Volume, type VolumeId } from '../model/volume.ts';
import type {
  BrickStanding,
  Fill,
  StorageAnswer,
  VolumeEvent,
  VolumeReport,
} from '../model/volume-report.ts';
import type { GlusterCluster } from './contract.ts';
import type { StorageParts } from './parts.ts';

export interface Watched {
  readonly online: readonly boolean[];
  readonly fill: Fill | null;
  readonly heal: VolumeReport['heal'];
}

export interface VolumeWatch {
  of(volume: VolumeId): Watched | undefined;
  /** What nodes have told the server of their bricks. Called about once a second; what follows is done behind it. */
  hear(volumes: StorageAnswer['volumes']): void;
}

/** Asking Gluster for what is to be healed goes through the bricks' indices, file by file. */
const HEAL_LOOK_EVERY_MS = 30_000;
const HEAL_LOOK_WHILE_PENDING_MS = 2_000;
/** Below this part of its room that is free, a volume is nearly full. */
const NEARLY_FULL = 0.1;
/** It is told anew only when there was more room in between. */
const ROOM_AGAIN = 0.12;

interface Memory {
  readonly online: readonly (boolean | null)[];
  readonly fill: Fill | null;
  readonly nearFull: boolean;
  readonly heal: VolumeReport['heal'];
  /** When Gluster was last asked for it. */
  readonly healAskedAt: number;
}

const NOTHING: Memory = {
  ...{ online: [], fill: null, nearFull: false, heal: null },
  healAskedAt: Number.NEGATIVE_INFINITY,
};

export interface WatchWorld {
  readonly parts: Pick<StorageParts, 'open'>;
  coordinated(): readonly Volume[];
  tell(event: VolumeEvent): void;
  /** A volume is not as it was told. */
  news(): void;
  /** Of a clock that only goes forward, in ms. */
  now(): number;
  readonly log: Log;
}

export function watchVolumes(world: WatchWorld): VolumeWatch {
  const { parts, tell, log } = world;
  const memory = new Map<VolumeId, Memory>();
  let trouble = '';
  let heard: StorageAnswer['volumes'] | undefined;
  let looking = false;

  async function look(
    cluster: GlusterCluster,
    volume: Volume,
    bricks: readonly BrickStanding[],
  ): Promise<void> {
    const last = memory.get(volume.id) ?? NOTHING;
    const online = volume.bricks.map((_, index) => bricks[index]?.online ?? last.online[index] ?? null);
    const fill = fillOf(volume, bricks) ?? last.fill;
    const nearFull = fill !== null && isNearlyFull(fill, last.nearFull);
    tellOfBricks(volume, last.online, online, tell);
    if (nearFull && !last.nearFull) tell(event(volume, 'near-full', 'less than a tenth of it is free'));
    const seen: Memory = { ...last, online, fill, nearFull };
    memory.set(volume.id, seen);
    const isBack = online.some((on, index) => on === true && last.online[index] === false);
    const healing = { ...seen, ...(await healOf(cluster, volume, bricks, seen, isBack, world.now())) };
    tellOfHealing(volume, last.heal, healing.heal, tell);
    memory.set(volume.id, healing);
    if (JSON.stringify(shown(last)) !== JSON.stringify(shown(healing))) world.news();
    // Gluster starts a brick that died only when it is told to. Seen twice: one that is about to come up needs no help.
    if (online.some((on, index) => on === false && last.online[index] === false))
      await cluster.revive(glusterName(volume.id));
  }

  async function round(told: StorageAnswer['volumes']): Promise<void> {
    const all = world.coordinated();
    forgetOthers(memory, all);
    const { gluster } = parts.open;
    if (gluster?.daemon.isAlive() !== true) return;
    for (const volume of all) {
      const bricks = told.find((one) => one.volume === volume.id)?.bricks;
      if (bricks !== undefined)
        await look(gluster.cluster, volume, bricks).then(noTrouble, (error) => complain(volume, error));
    }
  }

  function noTrouble(): void {
    trouble = '';
  }

  function complain(volume: Volume, error: unknown): void {
    const { message } = asSluiceError(error);
    if (message !== trouble)
      log.warn({ volume: volume.id, reason: message }, 'how a volume is cannot be told');
    trouble = message;
  }

  async function run(): Promise<void> {
    looking = true;
    for (let told = heard; told !== undefined; told = heard) {
      heard = undefined;
      await round(told);
    }
    looking = false;
  }

  return {
    of(volume): Watched | undefined {
      const known = memory.get(volume);
      return known && shown(known);
    },
    hear(volumes): void {
      heard = volumes;
      if (!looking) void run();
    },
  };
}

/** What nobody has said anything of yet is about to come up. */
function shown({ online, fill, heal }: Memory): Watched {
  return { online: online.map((on) => on !== false), fill, heal };
}

function forgetOthers(memory: Map<VolumeId, Memory>, all: readonly Volume[]): void {
  const ids = new Set(all.map(({ id }) => id));
  for (const id of memory.keys()) if (!ids.has(id)) memory.delete(id);
}

/**
 * Where no index of a brick has anything there is nothing to heal, and Gluster need not be asked.
 * @param isBack  whether a brick serves that did not: it is healed at once, and not when Gluster thinks of it
 */
async function healOf(
  cluster: GlusterCluster,
  volume: Volume,
  bricks: readonly BrickStanding[],
  { heal, healAskedAt, online }: Memory,
  isBack: boolean,
  now: number,
): Promise<Pick<Memory, 'heal' | 'healAskedAt'>> {
  if (volume.layout === 'single') return { heal: null, healAskedAt };
  if (isBack) await cluster.heal(glusterName(volume.id));
  const indices = bricks.filter((_, index) => online[index] === true).map(({ healIndex }) => healIndex);
  if (!isBack && indices.every((index) => index === 'empty'))
    return { heal: indices.length > 0 ? { pending: 0, splitBrain: 0 } : heal, healAskedAt };
  const onlySplit = heal !== null && heal.pending === 0 && heal.splitBrain > 0;
  const often = indices.includes('pending') && !onlySplit;
  const pauseMs = often ? HEAL_LOOK_WHILE_PENDING_MS : HEAL_LOOK_EVERY_MS;
  if (!isBack && now - healAskedAt < pauseMs) return { heal, healAskedAt };
  return { heal: await cluster.healInfo(glusterName(volume.id)), healAskedAt: now };
}

function tellOfHealing(
  volume: Volume,
  before: VolumeReport['heal'],
  now: VolumeReport['heal'],
  tell: (event: VolumeEvent) => void,
): void {
  const [was, is] = [before?.pending ?? 0, now?.pending ?? 0];
  if (is > 0 && was === 0) tell(event(volume, 'heal-pending', `${is} files have to catch up on some brick`));
  if (is === 0 && was > 0) tell(event(volume, 'healed', 'all copies are the same again'));
}

function tellOfBricks(
  volume: Volume,
  before: readonly (boolean | null)[],
  now: readonly (boolean | null)[],
  tell: (event: VolumeEvent) => void,
): void {
  for (const [index, on] of now.entries()) {
    const { node } = volume.bricks[index] ?? {};
    if (before[index] === true && on === false)
      tell(event(volume, 'brick-down', `brick ${index} on node ${node} does not serve`));
    if (before[index] === false && on === true)
      tell(event(volume, 'brick-up', `brick ${index} on node ${node} serves again`));
  }
}

/** Copies fill alike, so a set has what its fullest data brick has; arbiters hold no data. */
function fillOf(volume: Volume, bricks: readonly BrickStanding[]): Fill | undefined {
  const places = new Map(volume.bricks.map((brick, index) => [brick, bricks[index]?.fill]));
  const ofSets = replicaSetsOf(volume).map((set) => {
    const fills = set.flatMap((brick) => (brick.role === 'data' ? (places.get(brick) ?? []) : []));
    return fills.sort((one, other) => one.freeBytes - other.freeBytes)[0];
  });
  if (!ofSets.every((fill) => fill !== undefined)) return undefined;
  return ofSets.reduce((sum, fill) => ({
    totalBytes: sum.totalBytes + fill.totalBytes,
    freeBytes: sum.freeBytes + fill.freeBytes,
    totalInodes: sum.totalInodes + fill.totalInodes,
    freeInodes: sum.freeInodes + fill.freeInodes,
  }));
}

function isNearlyFull({ freeBytes, totalBytes }: Fill, was: boolean): boolean {
  return totalBytes > 0 && freeBytes / totalBytes < (was ? ROOM_AGAIN : NEARLY_FULL);
}

function event(volume: Volume, what: VolumeEvent['what'], text: string): VolumeEvent {
  return { at: Date.now(), volume: volume.id, what, text: `volume ${volume.name}: ${text}` };
}
