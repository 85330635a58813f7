/**
 * The limit algebra: base limits, with the open switches applied in their order, and what the node has. Pure and total:
 * whatever is given, there is one answer, and the order in which switches are given has no part in it (docs/limits.md).
 */
import {
  BASE_SOURCES,
  type BaseLayers,
  type BaseSource,
  type Capacity,
  LIMIT_FIELDS,
  type LimitField,
  type Limits,
  type LimitValue,
} from './limits.ts';
import { boundsOf, isWhole } from './quantity.ts';
import type { Change, Switch, SwitchId } from './switch.ts';

/** Where a base value is from; `none`: nobody has named the field, so it is unlimited. */
export type BaseOrigin = BaseSource | 'none';

export interface BaseValue {
  readonly value: LimitValue;
  readonly source: BaseOrigin;
}

/** What holds while no switch is open, for every field. */
export type Base = Readonly<Record<LimitField, BaseValue>>;

/** One switch's say on one field. */
export interface Step {
  readonly switch: SwitchId;
  readonly change: Change;
  /** What holds after it, as far as the switches up to here go. */
  readonly value: LimitValue;
}

export interface EffectiveValue {
  readonly value: LimitValue;
  readonly base: LimitValue;
  readonly source: BaseOrigin;
  /** In the order in which they were applied; empty: no switch names the field. */
  readonly steps: readonly Step[];
  /** The switches asked for more than the node has. */
  readonly capped: boolean;
}

export type Effective<F extends LimitField = LimitField> = Readonly<Record<F, EffectiveValue>>;

/** Fields that a node cannot give twice, and cannot give more of than it has. */
const CAPPED: Readonly<Partial<Record<LimitField, 'memory'>>> = { memory: 'memory' };

/** A quota counts microseconds in 100 ms (cpu.cfs_quota_us, cpu.max): finer shares of a core do not exist. */
const CORE_GRAIN = 100_000;

/** Per field the value of the first source that names it, strongest first; null is a value. */
export function baseOf(layers: BaseLayers): Base {
  const base = {} as Record<LimitField, BaseValue>;
  for (const field of LIMIT_FIELDS) {
    const source = BASE_SOURCES.find((one) => layers[one][field] !== undefined);
    const value = source === undefined ? undefined : layers[source][field];
    base[field] = { value: value ?? null, source: source ?? 'none' };
  }
  return base;
}

export interface Situation<F extends LimitField> {
  readonly base: Base;
  /** Those that are open and choose this container (model/switch-scope.ts), in any order. */
  readonly switches: Iterable<Switch>;
  /** Which fields are asked for. */
  readonly fields: readonly F[];
  /** undefined: not known, so that nothing is capped. */
  readonly capacity?: Capacity | undefined;
}

/**
 * By priority, lowest first. Among equals those that lift come last, else the older comes first. A field that no switch
 * names keeps its base, to the bit.
 */
export function effective<F extends LimitField>(situation: Situation<F>): Effective<F> {
  const switches = [...situation.switches];
  const all = {} as Record<F, EffectiveValue>;
  for (const field of situation.fields) {
    all[field] = effectiveField(field, situation.base[field], switches, situation.capacity);
  }
  return all;
}

/** The values alone, of the fields that have one. */
export function valuesOf(all: Partial<Effective>): Limits {
  return Object.fromEntries(Object.entries(all).map(([field, one]) => [field, one.value]));
}

/** The switches that had a say on any of the fields, in the order of their ids. */
export function switchesOf(all: Partial<Effective>): SwitchId[] {
  const ids = Object.values(all).flatMap(({ steps }) => steps.map((step) => step.switch));
  return [...new Set(ids)].sort();
}

interface Say {
  readonly by: Switch;
  readonly change: Change;
}

function effectiveField(
  field: LimitField,
  base: BaseValue,
  switches: readonly Switch[],
  capacity: Capacity | undefined,
): EffectiveValue {
  const says = switches.flatMap((by): Say[] => {
    const change = by.changes[field];
    return change === undefined ? [] : [{ by, change }];
  });
  says.sort(inOrder);
  let running: Running = { start: base.value, factor: 1 };
  const steps: Step[] = [];
  for (const { by, change } of says) {
    running = afterChange(running, change);
    steps.push({ switch: by.id, change, value: settled(field, running) });
  }
  const wanted = steps.at(-1)?.value ?? null;
  if (steps.length === 0)
    return { value: base.value, base: base.value, source: base.source, steps, capped: false };
  const most = capOf(field, capacity);
  const capped = most !== undefined && (wanted === null || Number(wanted) > most);
  return { value: capped ? most : wanted, base: base.value, source: base.source, steps, capped };
}

/** The last value that was said outright, and what has been multiplied onto it since. */
interface Running {
  readonly start: LimitValue;
  readonly factor: number;
}

function afterChange(running: Running, change: Change): Running {
  switch (change.do) {
    case 'lift':
      return { start: null, factor: 1 };
    case 'set':
      return { start: change.value, factor: 1 };
    case 'scale':
      return { start: running.start, factor: running.factor * change.factor };
  }
}

/**
 * Rounded to what the unit can say, and kept within what makes sense; but what was said outright is left as it is, and
 * multiplying never passes it the wrong way.
 */
function settled(field: LimitField, { start, factor }: Running): LimitValue {
  const bounds = boundsOf(field);
  if (typeof start !== 'number' || bounds === undefined || factor === 1) return start;
  const grain = isWhole(field) ? 1 : CORE_GRAIN;
  const rounded = Math.round(start * factor * grain) / grain;
  return Math.min(Math.max(rounded, Math.min(bounds.min, start)), Math.max(bounds.max, start));
}

function inOrder(a: Say, b: Say): number {
  return (
    a.by.priority - b.by.priority ||
    Number(a.change.do === 'lift') - Number(b.change.do === 'lift') ||
    a.by.openedAt - b.by.openedAt ||
    (a.by.id < b.by.id ? -1 : Number(a.by.id > b.by.id))
  );
}

function capOf(field: LimitField, capacity: Capacity | undefined): number | undefined {
  const what = CAPPED[field];
  return what === undefined ? undefined : capacity?.[what];
}
