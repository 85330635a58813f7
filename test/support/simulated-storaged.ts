/** Clients of shared volumes in a simulated world, and the storaged that has them: it can be away, and they can be dead. */
import { SluiceError } from '../../model/errors.ts';
import type { Limits } from '../../model/limits.ts';
import {
  type HeldMount,
  type MountLimitsAnswer,
  type NodeMounts,
  UNLIMITED_VOLUME,
  type VolumeRates,
} from '../../model/mount-limits.ts';
import type { ContainerId, TenantName } from '../../model/names.ts';
import type { MountId, VolumeId } from '../../model/volume.ts';
import type { VolumeKeeper } from '../../qos/contract.ts';

/** Stands for kill -9. */
export class Died extends Error {}

export class SimulatedStoraged {
  readonly mounts = new Map<MountId, HeldMount>();
  readonly shares = new Map<TenantName, VolumeRates>();
  isUp = true;
  /** Mounts that refuse to be written. */
  readonly refuses = new Set<MountId>();
  writes = 0;
  /** What a write waits for. */
  slow: Promise<void> = Promise.resolve();
  /** What the answer to a reading waits for, after it was read. */
  slowReading: Promise<void> = Promise.resolve();
  /** Thrown by the next write, after it was done: netd dies there. */
  dieAfterWrite = false;
  #told: NodeMounts | undefined;

  /** @param held  what its client begins with */
  mount(n: number, container: ContainerId, held: Partial<VolumeRates> = {}, limits: Limits = {}): MountId {
    const id = `m${String(n).padStart(12, '0')}` as MountId;
    this.mounts.set(id, {
      ...{ id, volume: aVolumeId(n), tenant: 'blue' as TenantName, container, directory: '/data' },
      ...{ state: 'mounted', limits, held: { ...UNLIMITED_VOLUME, ...held }, replaced: 0 },
    });
    this.tell();
    return id;
  }

  change(id: MountId, change: Partial<HeldMount>): void {
    const mount = this.mounts.get(id);
    if (mount !== undefined) this.mounts.set(id, { ...mount, ...change });
  }

  /** As its stream does; while it is away nobody hears anything. */
  tell(): void {
    if (this.isUp) this.#told = this.#picture();
  }

  /** The new netd has heard nothing yet, unless storaged is there. */
  forget(): void {
    this.#told = undefined;
    this.tell();
  }

  #picture(): NodeMounts {
    const shares = [...this.shares].map(([tenant, held]) => ({ tenant, held }));
    return structuredClone({ mounts: [...this.mounts.values()], shares });
  }

  readonly keeper: VolumeKeeper = {
    told: () => this.#told,
    answers: () => this.isUp,
    read: async () => {
      if (!this.isUp) throw unreachable();
      const picture = this.#picture();
      await this.slowReading;
      return picture;
    },
    apply: async (id, rates) => {
      await this.slow;
      const mount = this.mounts.get(id);
      if (!this.isUp) throw unreachable();
      if (mount === undefined) throw new SluiceError('not_found', 'there is no such mount', 'look');
      if (mount.held === null || this.refuses.has(id))
        throw new SluiceError('storage_failed', 'the client took nothing', 'wait');
      // Mounts of one volume in one container have one client.
      for (const other of this.mounts.values())
        if (other.container === mount.container && other.volume === mount.volume)
          this.change(other.id, { held: rates });
      return this.#written(rates);
    },
    applyShare: async (tenant, rates) => {
      if (!this.isUp) throw unreachable();
      this.shares.set(tenant, rates);
      return this.#written(rates);
    },
  };

  #written(held: VolumeRates): MountLimitsAnswer {
    this.writes += 1;
    if (this.dieAfterWrite) throw new Died();
    this.tell();
    return { held, shortfalls: [] };
  }
}

function unreachable(): SluiceError {
  return new SluiceError('unreachable', 'storaged does not answer', 'start it');
}

export function aVolumeId(n: number): VolumeId {
  return `v${String(n).padStart(12, '0')}` as VolumeId;
}
