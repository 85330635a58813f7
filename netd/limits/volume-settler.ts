/**
 * Brings the limits of mounts, and of tenants' mounts together, to what is wanted: all four fields of one at once, read
 * back, and looked at again. Clients hold what they hold also while storaged is away.
 */
import { asSluiceError } from '../../model/errors.ts';
import { VOLUME_FIELDS, type VolumeField } from '../../model/limits.ts';
import type { Shortfall } from '../../model/limits-report.ts';
import type { Log } from '../../model/log.ts';
import {
  type HeldMount,
  type MountLimitsAnswer,
  type NodeMounts,
  UNLIMITED_VOLUME,
  type VolumeRates,
} from '../../model/mount-limits.ts';
import type { TenantName } from '../../model/names.ts';
import type { MountId } from '../../model/volume.ts';
import type { VolumeKeeper } from '../../qos/contract.ts';
import type { Desired } from '../../qos/desired.ts';
import { volumeDifferences } from '../../qos/plan.ts';
import { inParallel } from './parallel.ts';
import { isStuck } from './waiting.ts';

/** What one holder, a mount's client or a tenant's bucket, was last seen to hold. */
export interface HolderState {
  /** null: it could not be asked; its client is dead. */
  held: VolumeRates | null;
  shortfalls: readonly VolumeShortfall[];
  /** Unix ms of the last read-back. */
  readAt: number;
}

interface Holder extends HolderState {
  /** How often its client had been replaced by then. */
  replaced: number;
  /** How often it was written: what was read before it is out of date. */
  writes: number;
  busy: boolean;
  lacking: { readonly wanted: string; looks: number } | undefined;
}

export interface VolumeShortfall extends Shortfall {
  readonly field: VolumeField;
}

/** Written at one time. */
const WRITERS = 16;
/** Full looks between two attempts at what was refused. */
const LOOKS_BEFORE_RETRY = 6;

const NONE: readonly HeldMount[] = [];

const AWAY = 'storaged does not answer; what was held before is held on';
const DEAD = 'its client is dead, and will be replaced';
const SETTING = 'it is being set';

export interface VolumeSettlerParts {
  readonly volumes: VolumeKeeper;
  /** Somebody else has changed what a mount is held to. */
  drifted(mount: HeldMount, field: VolumeField, was: number | null, now: number | null): void;
  /** The same of a tenant's mounts together. */
  shareDrifted(tenant: TenantName, field: VolumeField, was: number | null, now: number | null): void;
  readonly log: Log;
  /** Unix ms. */
  readonly now: () => number;
  /** Called when one that took its time is done. */
  readonly late: () => void;
}

/** What is to be held by one holder, and how it is told. */
interface Target {
  readonly key: string;
  readonly wanted: VolumeRates;
  apply(): Promise<MountLimitsAnswer>;
}

export class VolumeSettler {
  readonly #parts: VolumeSettlerParts;
  readonly #mounts = new Map<string, Holder>();
  readonly #shares = new Map<string, Holder>();
  #told: NodeMounts | undefined;
  /** Whether the last full look got no answer. */
  #unread = false;

  constructor(parts: VolumeSettlerParts) {
    this.#parts = parts;
  }

  /** What storaged has told of its mounts. */
  mounts(): readonly HeldMount[] {
    return this.#parts.volumes.told()?.mounts ?? NONE;
  }

  mountState(id: MountId): HolderState | undefined {
    return this.#mounts.get(id);
  }

  shareState(tenant: TenantName): HolderState | undefined {
    return this.#shares.get(tenant);
  }

  /** Whether what is known of them may be out of date, because nobody answers. */
  isUnread(): boolean {
    return this.#told !== undefined && (this.#unread || !this.#parts.volumes.answers());
  }

  /** Asks all clients, and tells what was changed behind our back. */
  async observe(): Promise<void> {
    const { volumes, log } = this.#parts;
    this.#follow();
    if (this.#told === undefined || !volumes.answers()) return;
    const writes = new Map([...this.#mounts, ...this.#shares].map(([, one]) => [one, one.writes]));
    let read: NodeMounts | undefined;
    const reading = volumes.read().then(
      (now) => {
        read = now;
      },
      (error: unknown) =>
        log.debug({ reason: asSluiceError(error).message }, 'limits of mounts cannot be read'),
    );
    await isStuck(reading, () => Number(read !== undefined));
    this.#unread = read === undefined;
    if (read === undefined) return;
    for (const mount of read.mounts) {
      const state = this.#mounts.get(mount.id);
      if (state === undefined || state.writes !== writes.get(state) || state.busy) continue;
      if (state.replaced === mount.replaced) this.#noteDrift(mount, state.held);
      this.#seen(state, mount.held, mount.replaced);
    }
    for (const { tenant, held } of read.shares) {
      const state = this.#shares.get(tenant);
      if (state === undefined || state.writes !== writes.get(state) || state.busy) continue;
      if (!hasNew(read.mounts, tenant, this.#mounts)) this.#noteShareDrift(tenant, state.held, held);
      this.#seen(state, held, 0);
    }
  }

  /**
   * @param left  containers whose mounts stay as they are, because something else of them was refused
   * @param full  whether what was refused lately may be tried again
   */
  async settle(desired: Desired, left: ReadonlySet<string>, full: boolean): Promise<void> {
    this.#follow();
    if (this.#told === undefined) return;
    const due = [
      ...this.#due(this.#mounts, this.#mountTargets(desired, left), full),
      ...this.#due(this.#shares, this.#shareTargets(desired), full),
    ];
    let finished = 0;
    const all = inParallel(due, WRITERS, async ({ state, target }) => {
      await this.#write(state, target);
      finished += 1;
    });
    if (await isStuck(all, () => finished)) void all.then(this.#parts.late);
  }

  /** Takes over what storaged tells of who is there; of what they hold only what is new to us. */
  #follow(): void {
    const told = this.#parts.volumes.told();
    if (told === undefined || told === this.#told) return;
    this.#told = told;
    const joined = new Set(told.mounts.filter(({ id }) => !this.#mounts.has(id)).map(({ tenant }) => tenant));
    keepOnly(this.#mounts, new Set(told.mounts.map(({ id }) => id)));
    keepOnly(this.#shares, new Set(told.mounts.map(({ tenant }) => tenant)));
    for (const { id, held, replaced } of told.mounts) {
      const state = this.#mounts.get(id);
      if (state === undefined) this.#mounts.set(id, this.#found(held, replaced));
      else if (state.replaced !== replaced || (state.held === null) !== (held === null))
        this.#seen(state, held, replaced);
    }
    const shares = new Map(told.shares.map(({ tenant, held }) => [tenant, held]));
    for (const { tenant } of told.mounts) {
      const held = shares.get(tenant) ?? UNLIMITED_VOLUME;
      const state = this.#shares.get(tenant);
      if (state === undefined) this.#shares.set(tenant, this.#found(held, 0));
      // With the first mount storaged gives the tenant what its plan says, also while a switch is open.
      else if (joined.has(tenant) && !state.busy) this.#seen(state, held, 0);
    }
  }

  #found(held: VolumeRates | null, replaced: number): Holder {
    const readAt = this.#parts.now();
    return { held, replaced, readAt, shortfalls: [], writes: 0, busy: false, lacking: undefined };
  }

  #seen(state: Holder, held: VolumeRates | null, replaced: number): void {
    // A client that is another one has refused nothing yet.
    if (state.replaced !== replaced) state.lacking = undefined;
    Object.assign(state, { held, replaced, readAt: this.#parts.now() });
  }

  #noteDrift(mount: HeldMount, before: VolumeRates | null): void {
    if (before === null || mount.held === null) return;
    for (const field of volumeDifferences(before, mount.held))
      this.#parts.drifted(mount, field, before[field], mount.held[field]);
  }

  #noteShareDrift(tenant: TenantName, before: VolumeRates | null, now: VolumeRates): void {
    for (const field of before === null ? [] : volumeDifferences(before, now))
      this.#parts.shareDrifted(tenant, field, before?.[field] ?? null, now[field]);
  }

  #mountTargets({ containers, strangers }: Desired, left: ReadonlySet<string>): Target[] {
    const { volumes } = this.#parts;
    return [...containers, ...strangers]
      .filter(({ key }) => !left.has(key))
      .flatMap(({ mounts }) => mounts)
      .map(({ known: { id }, rates }) => ({
        ...{ key: id, wanted: rates },
        apply: () => volumes.apply(id, rates),
      }));
  }

  #shareTargets({ shares }: Desired): Target[] {
    const { volumes } = this.#parts;
    return shares.flatMap(({ tenant, volumes: wanted }) =>
      wanted === undefined ? [] : [{ key: tenant, wanted, apply: () => volumes.applyShare(tenant, wanted) }],
    );
  }

  /** Those that are to be written now; of the others it is noted what they lack. */
  #due(
    holders: ReadonlyMap<string, Holder>,
    targets: readonly Target[],
    full: boolean,
  ): { readonly state: Holder; readonly target: Target }[] {
    return targets.flatMap((target) => {
      const state = holders.get(target.key);
      if (state === undefined || state.busy) return [];
      const why = this.#obstacle(state, target, full);
      if (why === undefined) return [{ state, target }];
      if (why !== 'refused') state.shortfalls = shortfallsOf(target.wanted, state.held, why);
      return [];
    });
  }

  /** Why it is not written; '': nothing is missing; `refused`: lately, and it is not tried at every turn. */
  #obstacle(state: Holder, { wanted }: Target, full: boolean): string | undefined {
    if (state.held !== null && volumeDifferences(wanted, state.held).length === 0) {
      state.lacking = undefined;
      return '';
    }
    if (!this.#parts.volumes.answers()) return AWAY;
    if (state.held === null) return DEAD;
    if (state.lacking?.wanted !== JSON.stringify(wanted)) return undefined;
    if (full) state.lacking.looks += 1;
    return state.lacking.looks >= LOOKS_BEFORE_RETRY ? undefined : 'refused';
  }

  async #write(state: Holder, { key, wanted, apply }: Target): Promise<void> {
    state.busy = true;
    state.shortfalls = shortfallsOf(wanted, state.held, SETTING);
    try {
      const { held, shortfalls } = await apply();
      const whyNot = new Map(shortfalls.map(({ field, why }) => [field, why]));
      this.#seen(state, held, state.replaced);
      state.shortfalls = volumeDifferences(wanted, held).map((field) =>
        shortfall(field, wanted, held, whyNot.get(field) ?? 'its client holds something else'),
      );
      state.lacking =
        state.shortfalls.length === 0 ? undefined : { wanted: JSON.stringify(wanted), looks: 0 };
    } catch (thrown) {
      this.#refused(state, key, wanted, thrown);
    }
    state.writes += 1;
    state.busy = false;
  }

  #refused(state: Holder, key: string, wanted: VolumeRates, thrown: unknown): void {
    const { code, message } = asSluiceError(thrown);
    const away = code === 'unreachable';
    state.shortfalls = shortfallsOf(wanted, state.held, away ? AWAY : message);
    // When it is back, or when the mount is gone, we are told: then all is looked at anew.
    if (away || code === 'not_found') return;
    const text = JSON.stringify(wanted);
    if (state.lacking?.wanted !== text)
      this.#parts.log.error({ holder: key, wanted, reason: message }, 'limits of a volume were refused');
    state.lacking = { wanted: text, looks: 0 };
  }
}

function keepOnly(holders: Map<string, unknown>, keys: ReadonlySet<string>): void {
  for (const key of holders.keys()) if (!keys.has(key)) holders.delete(key);
}

/** Whether storaged has mounted something for the tenant of which it has not told yet: it sets the share then itself. */
function hasNew(
  mounts: readonly HeldMount[],
  tenant: TenantName,
  known: ReadonlyMap<string, Holder>,
): boolean {
  return mounts.some((mount) => mount.tenant === tenant && !known.has(mount.id));
}

/** Of a holder that cannot be asked only what is wanted is known. */
function shortfallsOf(wanted: VolumeRates, held: VolumeRates | null, why: string): VolumeShortfall[] {
  const fields =
    held === null ? VOLUME_FIELDS.filter((field) => wanted[field] !== null) : volumeDifferences(wanted, held);
  return fields.map((field) => shortfall(field, wanted, held, why));
}

function shortfall(
  field: VolumeField,
  wanted: VolumeRates,
  held: VolumeRates | null,
  why: string,
): VolumeShortfall {
  return { field, wanted: wanted[field], why, ...(held !== null && { kernel: held[field] }) };
}
