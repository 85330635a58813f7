/** Limits as words on the command line: `--limit cpu=1 --limit net=100Mbit`, `--unset memory`; and as lines of a table. */
import type { Argv } from 'yargs';
import { SluiceError } from '../../model/errors.ts';
import { isTenantField, type LimitField, type Limits } from '../../model/limits.ts';
import { fieldHint, fieldsNamed, fieldsOf } from '../../model/limits-tree.ts';
import { parseLimit, printLimit } from '../../model/quantity.ts';

export interface LimitWords {
  readonly limit?: readonly string[] | undefined;
  readonly unset?: readonly string[] | undefined;
}

export function limitFlags<T>(yargs: Argv<T>): Argv<T & LimitWords> {
  return yargs
    .option('limit', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'FIELD=VALUE, such as cpu=0.5 or net.external.out=50Mbit; unlimited is a value',
    })
    .option('unset', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'Say nothing of a field any longer',
    }) as unknown as Argv<T & LimitWords>;
}

/**
 * Of one kind of fields, the others left as they are.
 *
 * @param before  what is said now
 * @param words  each FIELD=VALUE, where FIELD may be a group such as `net`
 * @param kind  a single container's fields, or those of a tenant's share of a node, whose names may be without `tenant.`
 * @throws SluiceError `invalid_request`
 */
export function withWords(
  before: Limits,
  words: readonly string[] = [],
  unset: readonly string[] = [],
  kind: 'container' | 'share' = 'container',
): Limits {
  const left = new Map(fieldsOf(before));
  for (const name of unset) for (const field of fieldsOfKind(name, kind)) left.delete(field);
  for (const word of words) {
    const equals = word.indexOf('=');
    if (equals < 1) throw noPair(word);
    for (const field of fieldsOfKind(word.slice(0, equals), kind))
      left.set(field, parseLimit(field, word.slice(equals + 1)));
  }
  return Object.fromEntries(left);
}

function fieldsOfKind(name: string, kind: 'container' | 'share'): LimitField[] {
  const full = kind === 'share' && !name.startsWith('tenant.') ? `tenant.${name}` : name;
  const fields = fieldsNamed(full);
  const fitting = fields.filter((field) => isTenantField(field) === (kind === 'share'));
  if (fitting.length > 0) return fitting;
  if (fields.length === 0)
    throw new SluiceError('invalid_request', `there is no limit ${full}`, fieldHint(full));
  throw new SluiceError(
    'invalid_request',
    `${name} is of a tenant's share of a node`,
    'say it with --share, without `tenant.`',
  );
}

/** @returns one `FIELD VALUE` a line, in a column */
export function limitLines(limits: Limits): string[] {
  const all = fieldsOf(limits);
  const width = Math.max(0, ...all.map(([field]) => field.length));
  return all.map(([field, value]) => `${field.padEnd(width)}  ${printLimit(field, value)}`);
}

function noPair(word: string): SluiceError {
  return new SluiceError(
    'invalid_request',
    `${JSON.stringify(word)} is no limit`,
    'say FIELD=VALUE, such as cpu=0.5',
  );
}
