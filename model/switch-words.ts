/**
 * What people type about a switch, as what the server is asked: `--select tenant=shop,app=a|b --lift net.external
 * --set cpu=4 --for 6h`. What contradicts itself, or could be meant in two ways, is refused.
 */
import type * as z from 'zod';
import { changeText } from './change-text.ts';
import { SluiceError } from './errors.ts';
import type { LimitField } from './limits.ts';
import { fieldHint, fieldsNamed } from './limits-tree.ts';
import { parseLimit } from './quantity.ts';
import { type Change, Changes, Selector } from './switch.ts';

/** The words behind each option; an option may be said several times. */
export interface ChangeWords {
  readonly lift?: readonly string[] | undefined;
  readonly set?: readonly string[] | undefined;
  readonly scale?: readonly string[] | undefined;
}

/** The word for every container of the cluster. */
export const EVERYTHING = 'all';

const KEYS = ['tenant', 'app', 'instance', 'node', 'zone'] as const;
const LABEL = 'label.';
const SELECT_HINT = `say tenant=shop,app=cart|pay: keys are ${KEYS.join(', ')} and ${LABEL}NAME; or ${EVERYTHING}`;

/** What other systems call the same. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  container: 'instance',
  namespace: 'tenant',
  host: 'node',
  labels: 'label.NAME',
  label: 'label.NAME',
};

/**
 * @param words  such as `tenant=shop,app=cart|pay,label.tier=web`: all must fit, and of those with `|` between them any
 * @throws SluiceError `invalid_request`
 */
export function selectorOf(words: readonly string[]): Selector {
  const terms = words.flatMap((word) => word.split(',')).map((term) => term.trim());
  if (terms.length === 1 && terms[0] === EVERYTHING) return {};
  const select: Draft = { labels: {} };
  for (const term of terms) {
    const [, key = '', values = ''] = /^([^=]*)=(.*)$/s.exec(term) ?? [];
    if (key === '') throw wrong(`${JSON.stringify(term)} chooses nothing`, SELECT_HINT);
    if (values === '') throw wrong(`${JSON.stringify(term)} has nothing behind its '='`, SELECT_HINT);
    addTerm(select, key, values.split('|'));
  }
  const { labels, ...keys } = select;
  const whole = { ...keys, ...(Object.keys(labels).length > 0 && { labels }) };
  return checked(Selector, whole, 'cannot be chosen by', SELECT_HINT);
}

type Draft = { [K in (typeof KEYS)[number]]?: string[] } & { readonly labels: Record<string, string[]> };

function addTerm(select: Draft, key: string, values: string[]): void {
  const known = KEYS.find((one) => one === key);
  const label = key.startsWith(LABEL) ? key.slice(LABEL.length) : undefined;
  if (known === undefined && !label) {
    const meant = OTHER_NAMES[key];
    throw wrong(`containers are not chosen by ${key}`, meant === undefined ? SELECT_HINT : `say ${meant}=…`);
  }
  const there = known === undefined ? Object.hasOwn(select.labels, label ?? '') : select[known] !== undefined;
  if (there)
    throw wrong(`${key} is named twice, and no container has two`, `say ${key}=ONE|OTHER for either`);
  if (known !== undefined) select[known] = values;
  else select.labels[label ?? ''] = values;
}

/** As {@link selectorOf} reads it. */
export function selectorText({ labels = {}, ...keys }: Selector): string {
  const terms = KEYS.flatMap((key) => (keys[key] === undefined ? [] : [`${key}=${keys[key].join('|')}`]));
  const labelled = Object.entries(labels).map(([label, values]) => `${LABEL}${label}=${values.join('|')}`);
  return [...terms, ...labelled].join(',') || EVERYTHING;
}

/**
 * @returns undefined when nothing is said, as a preset may say it
 * @throws SluiceError `invalid_request`
 */
export function changesOf({ lift = [], set = [], scale = [] }: ChangeWords): Changes | undefined {
  const said: [word: string, change: (field: LimitField) => Change][] = [
    ...lift.flatMap((word) => word.split(',')).map(liftOf),
    ...assignments(set, '--set cpu=4,memory=2GiB').map(([name, value]) => setOf(name, value)),
    ...assignments(scale, '--scale cpu=2,memory=1.5').map(([name, value]) => scaleOf(name, value)),
  ];
  const changes: { [F in LimitField]?: Change } = {};
  for (const [word, changeFor] of said) {
    const fields = fieldsNamed(word);
    if (fields.length === 0) throw wrong(`there is no limit ${JSON.stringify(word)}`, fieldHint(word));
    for (const field of fields) {
      const before = changes[field];
      if (before !== undefined) throw contradiction(field, before, changeFor(field));
      changes[field] = changeFor(field);
    }
  }
  if (said.length === 0) return undefined;
  return checked(Changes, changes, 'cannot be changed', 'docs/limits.md says what each field takes');
}

function liftOf(word: string): [string, () => Change] {
  if (word.includes('='))
    throw wrong(`${JSON.stringify(word)}: what is lifted has no value`, `say --set ${word}`);
  return [word.trim(), () => ({ do: 'lift' })];
}

function setOf(name: string, value: string): [string, (field: LimitField) => Change] {
  return [name, (field) => ({ do: 'set', value: parseLimit(field, value) })];
}

const MOST_SCALED = 1_000;

function scaleOf(name: string, value: string): [string, () => Change] {
  const factor = /^\d+(?:\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
  if (factor > 0 && factor <= MOST_SCALED) return [name, () => ({ do: 'scale', factor })];
  const hint = 'say 2 for twice as much, 0.5 for half; to take a limit away: --lift';
  throw wrong(`${name} cannot be scaled by ${JSON.stringify(value)}`, hint);
}

/** `a=1,b=2`, where a comma also belongs to lists: `cpu.set=0-3,7,cpu=2`. */
function assignments(words: readonly string[], example: string): [name: string, value: string][] {
  return words.flatMap((word) => {
    const all: [string, string][] = [];
    for (const part of word.split(',')) {
      const [, name, value] = /^([^=]+)=(.+)$/s.exec(part) ?? [];
      const last = all.at(-1);
      if (name !== undefined && value !== undefined) all.push([name.trim(), value.trim()]);
      else if (last !== undefined && /^[\d-]+$/.test(part)) last[1] += `,${part}`;
      else throw wrong(`${JSON.stringify(part)} is no field with a value`, `say ${example}`);
    }
    return all;
  });
}

function contradiction(field: LimitField, before: Change, after: Change): SluiceError {
  return wrong(
    `one field is named twice: ${changeText(field, before)}, and ${changeText(field, after)}`,
    'say one thing of each field; of two switches the one of higher priority has the last word',
  );
}

function checked<S extends z.ZodType>(schema: S, value: unknown, what: string, hint: string): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${what}: ${message}`);
  throw wrong(faults.join('\n'), hint);
}

function wrong(message: string, hint: string): SluiceError {
  return new SluiceError('invalid_request', message, hint);
}
