/** Brings containers' cgroups to what is wanted of them: each whole or not at all, read back, and looked at again. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { asSluiceError, type SluiceError } from '../../model/errors.ts';
import type { CgroupField } from '../../model/limits.ts';
import type { Shortfall } from '../../model/limits-report.ts';
import type { Log } from '../../model/log.ts';
import type { CgroupKeeper, CgroupLimits, CgroupStatistics, ContainerCgroup } from '../../qos/contract.ts';
import type { Desired } from '../../qos/desired.ts';
import { type CgroupAction, differences, planCgroups } from '../../qos/plan.ts';
import type { LimitEvents } from './events.ts';
import { inParallel } from './parallel.ts';
import { isStuck } from './waiting.ts';

/** What the kernel was last seen to hold of one container; gone with netd, and then read anew. */
export interface CgroupState {
  group: ContainerCgroup | undefined;
  /** By the last read-back; undefined as long as there is no cgroup. */
  held: CgroupLimits | undefined;
  /** What was wanted when that was had at last. */
  agreed: CgroupLimits;
  /** What the cgroup did not take at the last attempt. */
  shortfalls: readonly Shortfall[];
  lacking: Lacking | undefined;
  /** Whether a write takes its time: memory is being reclaimed. Nobody else touches it meanwhile. */
  busy: boolean;
  statistics: CgroupStatistics | undefined;
  /** Unix ms of the last read-back. */
  readAt: number;
}

/** What could not be had at the last attempt; it is not asked for again at once, because asking has its price. */
interface Lacking {
  /** What was wanted then, as text. */
  readonly wanted: string;
  /** Full looks since. */
  looks: number;
  readonly fields: ReadonlySet<CgroupField> | 'all';
}

/** Cgroup files written at one time. */
const WRITERS = 64;
/** Containers whose cgroup is read without a pause; one takes about half a millisecond. */
const READ_AT_ONCE = 4;
/** Full looks between two attempts at what the kernel has refused. */
const LOOKS_BEFORE_RETRY = 6;

export interface CgroupSettlerParts {
  readonly cgroups: CgroupKeeper;
  readonly events: LimitEvents;
  readonly log: Log;
  /** Unix ms. */
  readonly now: () => number;
  /** Called when a container that took its time is done: what waited for it can go on. */
  readonly late: () => void;
}

export class CgroupSettler {
  readonly #parts: CgroupSettlerParts;
  readonly #states = new Map<string, CgroupState>();

  constructor(parts: CgroupSettlerParts) {
    this.#parts = parts;
  }

  stateOf(key: string): CgroupState {
    const state = this.#states.get(key) ?? unseen();
    this.#states.set(key, state);
    return state;
  }

  /** By container, what was read back last. */
  held(): ReadonlyMap<string, CgroupLimits | undefined> {
    return new Map([...this.#states].map(([key, { held }]) => [key, held]));
  }

  forget(key: string): void {
    this.#states.delete(key);
  }

  forgetAllBut(keys: ReadonlySet<string>): void {
    for (const key of this.#states.keys()) if (!keys.has(key)) this.#states.delete(key);
  }

  found(key: string, group: ContainerCgroup, held: CgroupLimits): void {
    this.#states.set(key, { ...unseen(), group, held, agreed: held, readAt: this.#parts.now() });
  }

  /** Reads all cgroups, and tells what was changed behind our back. */
  async observe(): Promise<void> {
    let looked = 0;
    for (const [key, state] of [...this.#states]) {
      if (state.group === undefined || state.busy) continue;
      looked += 1;
      // These files are read in place: whoever waits for netd gets a turn now and then.
      if (looked % READ_AT_ONCE === 0) await nextTurn();
      try {
        await this.#observeOne(key, state, state.group);
      } catch (error) {
        this.#lose(key, state, error);
      }
    }
  }

  async #observeOne(key: string, state: CgroupState, group: ContainerCgroup): Promise<void> {
    const { cgroups, events, now } = this.#parts;
    const before = { ...state };
    const held = await cgroups.read(group);
    const statistics = await cgroups.statistics(group);
    Object.assign(state, { held, statistics, readAt: now() });
    for (const field of before.held === undefined ? [] : differences(before.held, held))
      events.drifted({ container: key }, field, before.held?.[field] ?? null, held[field] ?? null);
    const kills = statistics.oomKills - (before.statistics?.oomKills ?? statistics.oomKills);
    if (kills > 0) events.killed(key, kills);
  }

  /**
   * @param full  whether what was refused lately may be tried again
   * @returns what was done, and which containers hold what they held before, because the kernel refused or needs longer
   */
  async settle(
    desired: Desired,
    full: boolean,
  ): Promise<{ readonly done: readonly CgroupAction[]; readonly left: ReadonlySet<string> }> {
    const wanted = new Map(desired.containers.map(({ key, cgroup }) => [key, cgroup]));
    const { actions } = planCgroups(desired, this.held());
    const left = new Set(actions.map(({ key }) => key));
    for (const [key, cgroup] of wanted) {
      const state = this.stateOf(key);
      if (!left.has(key) && !state.busy)
        Object.assign(state, { shortfalls: [], lacking: undefined, agreed: cgroup });
    }
    const done: CgroupAction[] = [];
    let finished = 0;
    const one = async (action: CgroupAction): Promise<void> => {
      const had = await this.#attempt(action, wanted.get(action.key) ?? {}, full);
      finished += 1;
      if (!had) return;
      done.push(action);
      left.delete(action.key);
    };
    const free = actions.filter(({ key }) => !this.stateOf(key).busy);
    const all = inParallel(free, WRITERS, one);
    if (await isStuck(all, () => finished)) void all.then(this.#parts.late);
    return { done: [...done], left: new Set(left) };
  }

  /** Undoes what was done, because something else that belongs to it was refused. */
  async putBack(actions: readonly CgroupAction[], desired: Desired, because: SluiceError): Promise<void> {
    const wanted = new Map(desired.containers.map(({ key, cgroup }) => [key, cgroup]));
    await inParallel(actions, WRITERS, async ({ key, set, before }) => {
      const state = this.stateOf(key);
      if (state.group === undefined) return;
      try {
        await this.#set(state.group, state, before, false);
        this.#refuse(key, state, { set, all: wanted.get(key) ?? {} }, because);
      } catch (error) {
        this.#lose(key, state, error);
      }
    });
  }

  /** @returns whether it has what is wanted of it, as far as it can be had */
  async #attempt(action: CgroupAction, all: CgroupLimits, full: boolean): Promise<boolean> {
    const { key, set, mayKill } = action;
    const state = this.stateOf(key);
    const lacking = this.#lackingOf(state, all, full);
    if (lacking === 'all') {
      await this.#keepAgreed(key);
      return false;
    }
    if (lacking !== undefined) {
      await this.#setQuietly(key, omit(set, lacking));
      return true;
    }
    const why = 'it is being changed: memory is reclaimed first';
    Object.assign(state, { busy: true, shortfalls: shortfallsOf(set, state.held ?? {}, why) });
    const had = await this.#write({ key, set, mayKill }, all);
    state.busy = false;
    if (!had) await this.#keepAgreed(key);
    return had;
  }

  /** What could not be had is tried again when something else is wanted, or after a while. */
  #lackingOf({ lacking }: CgroupState, all: CgroupLimits, full: boolean): Lacking['fields'] | undefined {
    if (lacking === undefined || lacking.wanted !== JSON.stringify(all)) return undefined;
    if (full) lacking.looks += 1;
    return lacking.looks >= LOOKS_BEFORE_RETRY ? undefined : lacking.fields;
  }

  /** @returns false when the kernel refused, and holds what it held before */
  async #write(
    { key, set, mayKill }: Pick<CgroupAction, 'key' | 'set' | 'mayKill'>,
    all: CgroupLimits,
  ): Promise<boolean> {
    const state = this.stateOf(key);
    if (state.group === undefined) return true;
    try {
      const shortfalls = await this.#set(state.group, state, set, mayKill);
      const fields = new Set(shortfalls.map(({ field }) => field as CgroupField));
      const lacking = fields.size === 0 ? undefined : { wanted: JSON.stringify(all), looks: 0, fields };
      Object.assign(state, { shortfalls, lacking, agreed: all });
      return true;
    } catch (thrown) {
      const error = asSluiceError(thrown);
      if (error.code === 'not_found') {
        this.#lose(key, state, error);
        return true;
      }
      this.#refuse(key, state, { set, all }, error);
      return false;
    }
  }

  /** As long as the new is refused, the old is held: also against somebody else. */
  async #keepAgreed(key: string): Promise<void> {
    const { held, agreed } = this.stateOf(key);
    const fields = held === undefined ? [] : differences(agreed, held);
    await this.#setQuietly(key, Object.fromEntries(fields.map((field) => [field, agreed[field]])));
  }

  /** What can be had although something else of the container cannot. */
  async #setQuietly(key: string, set: CgroupLimits): Promise<void> {
    const state = this.stateOf(key);
    if (state.group === undefined || Object.keys(set).length === 0) return;
    try {
      await this.#set(state.group, state, set, false);
    } catch (error) {
      const { message } = asSluiceError(error);
      this.#parts.log.warn({ container: key, set, reason: message }, 'limits could not be put back');
    }
  }

  /** The cgroup keeper reads back each field that it writes; only what it could not have is in doubt. */
  async #set(
    group: ContainerCgroup,
    state: CgroupState,
    set: CgroupLimits,
    mayKill: boolean,
  ): Promise<readonly Shortfall[]> {
    const { cgroups, now } = this.#parts;
    const shortfalls = await cgroups.apply(group, set, { mayKill });
    const held = shortfalls.length === 0 ? { ...state.held, ...set } : await cgroups.read(group);
    Object.assign(state, { held, readAt: now() });
    return shortfalls;
  }

  #refuse(
    key: string,
    state: CgroupState,
    { set, all }: { readonly set: CgroupLimits; readonly all: CgroupLimits },
    { message }: SluiceError,
  ): void {
    const wanted = JSON.stringify(all);
    if (state.lacking?.wanted !== wanted)
      this.#parts.log.error(
        { container: key, set, reason: message },
        'limits were refused; none was changed',
      );
    state.lacking = { wanted, looks: 0, fields: 'all' };
    state.shortfalls = shortfallsOf(set, state.held ?? {}, message);
  }

  /** A container that vanishes is no error: its cgroup is looked for anew as long as the container is attached. */
  #lose(key: string, state: CgroupState, error: unknown): void {
    const { code, message } = asSluiceError(error);
    if (code !== 'not_found')
      this.#parts.log.warn({ container: key, reason: message }, 'a cgroup cannot be read');
    Object.assign(state, { ...unseen(), readAt: this.#parts.now() });
  }
}

function unseen(): CgroupState {
  return {
    ...{ group: undefined, held: undefined, agreed: {}, shortfalls: [], lacking: undefined },
    ...{ busy: false, statistics: undefined, readAt: 0 },
  };
}

function omit(limits: CgroupLimits, fields: ReadonlySet<CgroupField>): CgroupLimits {
  return Object.fromEntries(Object.entries(limits).filter(([field]) => !fields.has(field as CgroupField)));
}

function shortfallsOf(set: CgroupLimits, held: CgroupLimits, why: string): Shortfall[] {
  return (Object.keys(set) as CgroupField[]).map((field) => shortfall(field, set, held, why));
}

function shortfall(field: CgroupField, set: CgroupLimits, held: CgroupLimits, why: string): Shortfall {
  const value = held[field];
  return { field, wanted: set[field] ?? null, why, ...(value !== undefined && { kernel: value }) };
}
