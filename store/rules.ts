/** What every store demands of keys and transactions, so that all of them refuse the same things with the same words. */
import { SluiceError } from '../model/errors.ts';
import type { Compare, LeaseId, Txn } from './contract.ts';

/** Visible ASCII only: then every store sorts keys alike, whether it compares bytes or UTF-16 units. */
const KEY = /^[\x21-\x7e]{1,512}$/;
const PREFIX = /^[\x21-\x7e]{0,512}$/;

/** Sorts behind every character a key may have. */
const BEHIND_ALL = '\x7f';

/** A put whose value has become JSON text. */
export interface WrittenPut {
  readonly key: string;
  readonly text: string;
  readonly lease: LeaseId | null;
}

export interface CheckedTxn {
  readonly compare: readonly Compare[];
  readonly put: readonly WrittenPut[];
  readonly delete: readonly string[];
}

/** @throws SluiceError `invalid_request` */
export function checkTxn(txn: Txn): CheckedTxn {
  const put = (txn.put ?? []).map(({ key, value, lease }): WrittenPut => {
    return { key: checkKey(key), text: toText(key, value), lease: lease ?? null };
  });
  const deleted = (txn.delete ?? []).map(checkKey);
  const written = new Set<string>();
  for (const key of [...put.map((one) => one.key), ...deleted]) {
    if (written.has(key)) throw invalid(`a transaction may write ${key} only once`);
    written.add(key);
  }
  for (const { key } of txn.compare ?? []) checkKey(key);
  return { compare: txn.compare ?? [], put, delete: deleted };
}

/** @throws SluiceError `invalid_request` */
export function checkKey(key: string): string {
  if (!KEY.test(key)) throw invalid(`not a store key: ${JSON.stringify(key.slice(0, 80))}`);
  return key;
}

/**
 * The keys a prefix covers, as a half-open range.
 * @throws SluiceError `invalid_request`
 */
export function rangeOf(prefix: string): { readonly from: string; readonly to: string } {
  if (!PREFIX.test(prefix)) throw invalid(`not a key prefix: ${JSON.stringify(prefix.slice(0, 80))}`);
  return { from: prefix, to: prefix + BEHIND_ALL };
}

export function leaseGone(lease: LeaseId): SluiceError {
  return new SluiceError(
    'not_found',
    `lease ${lease} has ended`,
    'grant a new lease and write its keys again',
  );
}

export function historyGone(revision: number): SluiceError {
  return new SluiceError(
    'compacted',
    `the changes after revision ${revision} are not kept here`,
    'list the objects again and watch from the revision of that list',
  );
}

function toText(key: string, value: unknown): string {
  const text: string | undefined = JSON.stringify(value);
  if (text === undefined) throw invalid(`the value of ${key} cannot be written as JSON`);
  return text;
}

function invalid(message: string): SluiceError {
  return new SluiceError(
    'invalid_request',
    message,
    'keys are 1 to 512 visible ASCII characters, values are JSON',
  );
}
