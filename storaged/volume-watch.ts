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
    tellOfBricks(volume, last?.online, online, tell);
    const fill = fillOf(volume, statuses) ?? last?.fill ?? null;
    const nearFull = fill === null ? false : isNearlyFull(fill, last?.nearFull === true);
    if (nearFull && last?.nearFull !== true)
      tell(event(volume, 'near-full', 'less than a tenth of it is free'));
    const returned = last !== undefined && online.some((on, index) => on && last.online[index] === false);
    const healed = await healOf(cluster, volume, last, returned);
    memory.set(volume.id, { online, fill, nearFull, ...healed });
    if (online.includes(false)) await revive(cluster, volume, last);
  }

  async function healOf(
    cluster: GlusterCluster,
    volume: Volume,
    last: Memory | undefined,
    returned: boolean,
  ): Promise<Pick<Memory, 'heal' | 'healLookAt'>> {
    if (volume.layout === 'single') return { heal: null, healLookAt: Number.POSITIVE_INFINITY };
    const now = performance.now();
    const pending = last?.heal?.pending ?? 0;
    if (returned) await cluster.heal(glusterName(volume.id));
    if (last !== undefined && !returned && now < last.healLookAt)
      return { heal: last.heal, healLookAt: last.healLookAt };
    const heal = await cluster.healInfo(glusterName(volume.id));
    if (heal.pending > 0 && pending === 0)
      tell(event(volume, 'heal-pending', `${heal.pending} files have to catch up on some brick`));
    if (heal.pending === 0 && pending > 0) tell(event(volume, 'healed', 'all copies are the same again'));
    const pauseMs = heal.pending > 0 ? HEAL_LOOK_WHILE_PENDING_MS : HEAL_LOOK_EVERY_MS;
    return { heal, healLookAt: now + pauseMs };
  }

  /** Gluster starts a brick that died only when it is told to; one whose node is away it cannot start. */
  async function revive(cluster: GlusterCluster, volume: Volume, last: Memory | undefined): Promise<void> {
    // Seen twice, because a brick that is about to come up needs nobody's help.
    if (last?.online.includes(false) !== true) return;
    await cluster.start(glusterName(volume.id));
  }

  async function round(): Promise<void> {
    const all = coordinated();
    const ids = new Set(all.map(({ volume }) => volume.id));
    for (const id of memory.keys()) if (!ids.has(id)) memory.delete(id);
    const { gluster } = parts.open;
    if (gluster?.daemon.isAlive() !== true) return;
    for (const one of all) {
      try {
        await look(gluster.cluster, one);
        trouble = '';
      } catch (error) {
        const { message } = asSluiceError(error);
        if (message !== trouble && !signal.aborted)
          log.warn({ volume: one.volume.id, reason: message }, 'no status');
        trouble = message;
      }
    }
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
  let sum: Fill | undefined;
  let start = 0;
  for (const set of replicaSetsOf(volume)) {
    const fills = set.flatMap(({ role }, place) => {
      const fill = statuses[start + place]?.fill;
      return role === 'data' && fill ? [fill] : [];
    });
    start += set.length;
    const [first, ...others] = fills;
    if (first === undefined) return undefined;
    const least = others.reduce((one, other) => (other.freeBytes < one.freeBytes ? other : one), first);
    sum =
      sum === undefined
        ? least
        : {
            totalBytes: sum.totalBytes + least.totalBytes,
            freeBytes: sum.freeBytes + least.freeBytes,
            totalInodes: sum.totalInodes + least.totalInodes,
            freeInodes: sum.freeInodes + least.freeInodes,
          };
  }
  return sum;
}

function isNearlyFull({ freeBytes, totalBytes }: Fill, was: boolean): boolean {
  return totalBytes > 0 && freeBytes / totalBytes < (was ? ROOM_AGAIN : NEARLY_FULL);
}

function event(volume: Volume, what: VolumeEvent['what'], text: string): VolumeEvent {
  return { at: Date.now(), volume: volume.id, what, text: `volume ${volume.name}: ${text}` };
}
