/** How the volumes that this node coordinates are: bricks' processes, room, what is still to be healed; and what befell them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { asSluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import { glusterName, replicaSetsOf, type Volume, type VolumeId } from '../model/volume.ts';
import type { Fill, VolumeEvent, VolumeReport } from '../model/volume-report.ts';
import type { GlusterBrickStatus, GlusterCluster } from './contract.ts';
import type { Coordinated } from './keeper.ts';
import type { StorageParts } from './parts.ts';

export interface Watched {
  readonly online: readonly boolean[];
  readonly fill: Fill | null;
  readonly heal: VolumeReport['heal'];
}

export interface VolumeWatch {
  of(volume: VolumeId): Watched | undefined;
}

/** What is shown is to be no older than a second, as far as asking takes no longer. */
const LOOK_EVERY_MS = 1_000;
/** Asking for what is to be healed goes through the file systems of all bricks. */
const HEAL_LOOK_EVERY_MS = 30_000;
const HEAL_LOOK_WHILE_PENDING_MS = 2_000;
/** Below this part of its room that is free, a volume is nearly full. */
const NEARLY_FULL = 0.1;
/** It is told anew only when there was more room in between. */
const ROOM_AGAIN = 0.12;

interface Memory extends Watched {
  readonly healLookAt: number;
  readonly nearFull: boolean;
}

export function watchVolumes(
  parts: Pick<StorageParts, 'open'>,
  coordinated: () => readonly Coordinated[],
  tell: (event: VolumeEvent) => void,
  signal: AbortSignal,
  log: Log,
): VolumeWatch {
  const memory = new Map<VolumeId, Memory>();
  let trouble = '';

  async function look(cluster: GlusterCluster, one: Coordinated): Promise<void> {
    const { volume } = one;
    const last = memory.get(volume.id);
    const statuses = inOrder(one, await cluster.status(glusterName(volume.id)));
    const online = statuses.map((status) => status?.online === true);
    const fill = fillOf(volume, statuses) ?? last?.fill ?? null;
    const nearFull = fill !== null && isNearlyFull(fill, last?.nearFull === true);
    tellOfBricks(volume, last?.online, online, tell);
    if (nearFull && last?.nearFull !== true)
      tell(event(volume, 'near-full', 'less than a tenth of it is free'));
    const before = { heal: last?.heal ?? null, healLookAt: last?.healLookAt ?? 0 };
    memory.set(volume.id, { online, fill, nearFull, ...before });
    const healing = await healOf(cluster, volume, last, isBack(last?.online, online));
    tellOfHealing(volume, before.heal, healing.heal, tell);
    memory.set(volume.id, { online, fill, nearFull, ...healing });
    // Gluster starts a brick that died only when it is told to. Seen twice: one that is about to come up needs no help.
    if (online.includes(false) && last?.online.includes(false) === true)
      await cluster.revive(glusterName(volume.id));
  }

  async function round(): Promise<void> {
    const all = coordinated();
    forgetOthers(memory, all);
    const { gluster } = parts.open;
    if (gluster?.daemon.isAlive() !== true) return;
    for (const one of all) await look(gluster.cluster, one).then(noTrouble, (error) => complain(one, error));
  }

  function noTrouble(): void {
    trouble = '';
  }

  function complain({ volume }: Coordinated, error: unknown): void {
    const { message } = asSluiceError(error);
    if (message !== trouble && !signal.aborted)
      log.warn({ volume: volume.id, reason: message }, 'how a volume is cannot be told');
    trouble = message;
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      await round();
      await sleep(LOOK_EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  void run();
  return { of: (volume) => memory.get(volume) };
}

function forgetOthers(memory: Map<VolumeId, Memory>, all: readonly Coordinated[]): void {
  const ids = new Set(all.map(({ volume }) => volume.id));
  for (const id of memory.keys()) if (!ids.has(id)) memory.delete(id);
}

/** Whether a brick serves that did not. */
function isBack(before: readonly boolean[] | undefined, now: readonly boolean[]): boolean {
  return before !== undefined && now.some((on, index) => on && before[index] === false);
}

/** @param hasReturned  whatever has come back is healed at once, and not when Gluster thinks of it */
async function healOf(
  cluster: GlusterCluster,
  volume: Volume,
  last: Memory | undefined,
  hasReturned: boolean,
): Promise<Pick<Memory, 'heal' | 'healLookAt'>> {
  if (volume.layout === 'single') return { heal: null, healLookAt: Number.POSITIVE_INFINITY };
  const now = performance.now();
  if (hasReturned) await cluster.heal(glusterName(volume.id));
  if (last !== undefined && !hasReturned && now < last.healLookAt)
    return { heal: last.heal, healLookAt: last.healLookAt };
  const heal = await cluster.healInfo(glusterName(volume.id));
  const pauseMs = heal.pending > 0 ? HEAL_LOOK_WHILE_PENDING_MS : HEAL_LOOK_EVERY_MS;
  return { heal, healLookAt: now + pauseMs };
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

/** By the record's numbers. */
function inOrder(
  { volume, present }: Coordinated,
  statuses: readonly GlusterBrickStatus[],
): (GlusterBrickStatus | undefined)[] {
  const names = present.bricks.map(({ name }) => name);
  return volume.bricks.map((_, index) => statuses.find(({ name }) => name === names[index]));
}

function tellOfBricks(
  volume: Volume,
  before: readonly boolean[] | undefined,
  now: readonly boolean[],
  tell: (event: VolumeEvent) => void,
): void {
  for (const [index, on] of now.entries()) {
    const was = before?.[index] ?? true;
    const { node } = volume.bricks[index] ?? {};
    if (was && !on && before !== undefined)
      tell(event(volume, 'brick-down', `brick ${index} on node ${node} does not serve`));
    if (!was && on) tell(event(volume, 'brick-up', `brick ${index} on node ${node} serves again`));
  }
}

/** Copies fill alike, so a set has what its fullest data brick has; arbiters hold no data. */
function fillOf(volume: Volume, statuses: readonly (GlusterBrickStatus | undefined)[]): Fill | undefined {
  const places = new Map(volume.bricks.map((brick, index) => [brick, statuses[index]?.fill]));
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
