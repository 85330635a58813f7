/**
 * Limits as app files and plans write them, `{cpu: 0.5, net: {external: {out: 50Mbit}}}`, and as the flat record that
 * everything else uses. Beside fields of its own a group may have a value: `cpu: {limit: 0.5, burst: 20ms}`.
 */
import * as z from 'zod';
import { LIMIT_FIELDS, LIMIT_UNITS, LimitField, type Limits, type LimitValue } from './limits.ts';
import { limitProblem, readLimit } from './quantity.ts';

/** The key of a group's own value, where it has fields beside it. */
const OWN = 'limit';

interface Fault {
  readonly path: readonly string[];
  readonly message: string;
}

/** What people write; parsed, it is flat and in numbers. Dots may stand for nesting: `cpu.weight: 200`. */
export const LimitsWords = z.record(z.string(), z.unknown()).transform((tree, context): Limits => {
  const { limits, faults } = flatten(tree);
  for (const { path, message } of faults) context.addIssue({ code: 'custom', path: [...path], message });
  return limits;
});

/** Limits as programs pass them on: numbers in the fields' units, null for unlimited. */
export const FlatLimits = z
  .partialRecord(LimitField, z.union([z.number(), z.string(), z.null()]))
  .superRefine((limits, context) => {
    for (const [field, value] of fieldsOf(limits)) {
      const message = limitProblem(field, value);
      if (message !== undefined) context.addIssue({ code: 'custom', path: [field], message });
    }
  });

/** The fields that are named, in the order of the table of fields. */
export function fieldsOf(limits: Limits): [LimitField, LimitValue][] {
  return LIMIT_FIELDS.flatMap((field) => {
    const value = limits[field];
    return value === undefined ? [] : [[field, value] as [LimitField, LimitValue]];
  });
}

/**
 * The field, or all limits of the group, that a name stands for; empty when it is the name of neither. A weight limits
 * nothing, and is meant only by its own name.
 */
export function fieldsNamed(name: string): readonly LimitField[] {
  const exact = LIMIT_FIELDS.filter((field) => field === name);
  if (exact.length > 0) return exact;
  return LIMIT_FIELDS.filter((field) => field.startsWith(`${name}.`) && LIMIT_UNITS[field] !== 'weight');
}

/** What to say of a name that is no field: the fields that look like it, else all, groups by their names. */
export function fieldHint(name: string): string {
  const last = name.split('.').at(-1) ?? name;
  const near = LIMIT_FIELDS.filter((field) => last !== '' && (field.includes(last) || last.includes(field)));
  return `fields are ${(near.length > 0 ? near : GROUPS).join(', ')}`;
}

const GROUPS = [
  ...new Set(
    LIMIT_FIELDS.map((field) => {
      const [first = field] = field.split('.');
      return LimitField.safeParse(first).success ? first : `${first}.…`;
    }),
  ),
];

function flatten(tree: Readonly<Record<string, unknown>>): { limits: Limits; faults: Fault[] } {
  const limits: { [F in LimitField]?: LimitValue } = {};
  const faults: Fault[] = [];

  function leaf(path: readonly string[], word: unknown): void {
    const name = path.join('.').replace(new RegExp(`\\.${OWN}$`), '');
    const field = LimitField.safeParse(name);
    if (!field.success) {
      const group = fieldsNamed(name).length > 0;
      const problem = group ? `${name} is a group of fields` : `there is no limit ${name}`;
      faults.push({ path, message: `${problem}: ${fieldHint(name)}` });
    } else if (limits[field.data] !== undefined) {
      faults.push({ path, message: `${name} is given twice` });
    } else {
      const reading = readLimit(field.data, word);
      if (reading.ok) limits[field.data] = reading.value;
      else faults.push({ path, message: `${reading.problem}: ${reading.hint}` });
    }
  }

  function walk(path: readonly string[], node: Readonly<Record<string, unknown>>): void {
    for (const [key, below] of Object.entries(node)) {
      const here = [...path, key];
      if (typeof below === 'object' && below !== null && !Array.isArray(below)) {
        walk(here, below as Record<string, unknown>);
      } else {
        leaf(here, below);
      }
    }
  }

  walk([], tree);
  return { limits, faults };
}
