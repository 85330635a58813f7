/** The embedded store: one SQLite file, crash-safe, shared by any number of processes of one machine. */
import type {
  Entry,
  LeaseId,
  ListOptions,
  Page,
  Store,
  StoreOptions,
  Txn,
  TxnResult,
  WatchEvent,
} from './contract.ts';
import {
  type CheckedTxn,
  checkKey,
  checkTxn,
  historyGone,
  leaseGone,
  rangeOf,
  type WrittenPut,
} from './rules.ts';
import { type Durability, openFile, type SqliteFile } from './sqlite-file.ts';
import { prepare, type Statements } from './sqlite-statements.ts';
import { Bell, follow, type History } from './watching.ts';

export interface SqliteStoreOptions extends StoreOptions {
  /**
   * `full` (default): an acknowledged transaction survives a power cut; costs an fsync each.
   * `normal`: it survives the death of the process; a power cut may take the last ones, never a part of one.
   */
  readonly durability?: Durability;
  /** The file may not grow beyond this many bytes, so that a defect cannot fill the disk; default 1 GiB. */
  readonly maxBytes?: number;
  /** The kept events may hold this many characters of values; default 16 Mi. */
  readonly historyChars?: number;
}

/**
 * Opens or makes the file (0600, in a directory made 0700 when missing) and checks its integrity.
 * @throws SluiceError `store_failed` when it is damaged, newer than this program, or cannot be opened.
 */
export function openSqliteStore(path: string, options: SqliteStoreOptions = {}): Store {
  return new SqliteStore(openFile(path, options.durability ?? 'full', options.maxBytes ?? 2 ** 30), options);
}

class SqliteStore implements Store, History {
  readonly #file: SqliteFile;
  readonly #sql: Statements;
  readonly #now: () => number;
  readonly #keep: number;
  readonly #keepChars: number;
  readonly #bell: Bell;
  #otherWrites: number;

  constructor(file: SqliteFile, options: SqliteStoreOptions) {
    this.#file = file;
    this.#sql = prepare(file);
    this.#now = options.now ?? Date.now;
    this.#keep = options.history ?? 4096;
    this.#keepChars = options.historyChars ?? 2 ** 24;
    this.#bell = new Bell(() => this.#changedUnseen(), options.pollMs ?? 100);
    this.#otherWrites = this.#countOtherWrites();
  }

  async get(key: string): Promise<Entry | undefined> {
    checkKey(key);
    return this.#file.run(() => {
      this.#endLeases();
      const row = this.#sql.get.get(key);
      return row === undefined ? undefined : entryOf(row);
    });
  }

  async list(prefix: string, { limit, after = '' }: ListOptions = {}): Promise<Page> {
    const { from, to } = rangeOf(prefix);
    return this.#file.run(() => {
      this.#endLeases();
      return this.#file.read(() => {
        // One row more than asked for tells whether there are more; -1 is SQLite's 'no limit'.
        const rows = this.#sql.list.all(from, to, after, limit === undefined ? -1 : limit + 1);
        const page = rows.slice(0, limit);
        return {
          entries: page.map(entryOf),
          more: page.length < rows.length,
          revision: this.#newest().revision,
        };
      });
    });
  }

  async txn(txn: Txn): Promise<TxnResult> {
    const checked = checkTxn(txn);
    return this.#file.run(() => {
      this.#endLeases();
      const result = this.#file.write(() => this.#commit(checked));
      if (result.ok) this.#bell.ring();
      return result;
    });
  }

  watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncIterable<WatchEvent> {
    rangeOf(prefix);
    return follow(this, this.#bell, prefix, fromRevision, signal);
  }

  async grantLease(ttlMs: number): Promise<LeaseId> {
    return this.#file.run(() => {
      const { lastInsertRowid } = this.#sql.grant.run(ttlMs, this.#now() + ttlMs);
      return String(lastInsertRowid) as LeaseId;
    });
  }

  async keepLease(lease: LeaseId): Promise<void> {
    this.#file.run(() => {
      this.#endLeases();
      if (this.#sql.keep.run(this.#now(), Number(lease)).changes === 0) throw leaseGone(lease);
    });
  }

  async revokeLease(lease: LeaseId): Promise<void> {
    this.#file.run(() => this.#end([Number(lease)]));
  }

  async close(): Promise<void> {
    if (this.#bell.closed) return;
    this.#bell.close();
    this.#file.close();
  }

  cursorAt(revision: number): number {
    return this.#file.run(() => {
      const oldest = this.#sql.oldest.get();
      const whole = oldest === undefined || oldest['number'] === 1 || revision >= Number(oldest['revision']);
      if (!whole || revision > this.#newest().revision) throw historyGone(revision);
      return Number(this.#sql.cursorAt.get(revision)?.['number'] ?? 0);
    });
  }

  eventsAfter(cursor: number, prefix: string, limit: number): { events: WatchEvent[]; cursor: number } {
    const { from, to } = rangeOf(prefix);
    return this.#file.run(() =>
      this.#file.read(() => {
        const newest = this.#newest();
        if (cursor < Number(this.#sql.oldest.get()?.['number'] ?? 1) - 1) throw historyGone(newest.revision);
        const rows = this.#sql.eventsAfter.all(cursor, from, to, limit);
        const last = rows.length === limit ? Number(rows.at(-1)?.['number']) : newest.number;
        return { events: rows.map(eventOf), cursor: last };
      }),
    );
  }

  /** Inside a write transaction. */
  #commit({ compare, put, delete: deleted }: CheckedTxn): TxnResult {
    const conflicts = compare
      .map(({ key }) => ({ key, revision: Number(this.#sql.revisionOf.get(key)?.['revision'] ?? 0) }))
      .filter((real, index) => real.revision !== compare[index]?.revision);
    if (conflicts.length > 0) return { ok: false, conflicts };
    for (const { lease } of put) {
      if (lease !== null && this.#sql.hasLease.get(Number(lease)) === undefined) throw leaseGone(lease);
    }
    return { ok: true, revision: this.#change(put, deleted) };
  }

  /** The newest event carries the store's revision, so it is never dropped from the history. */
  #change(put: readonly WrittenPut[], deleted: readonly string[]): number {
    const newest = this.#newest();
    const revision = newest.revision + 1;
    let { number, chars } = newest;
    for (const { key, text, lease } of put) {
      this.#sql.put.run(key, text, revision, lease === null ? null : Number(lease));
      chars += text.length;
      this.#sql.remember.run(++number, revision, chars, key, text);
    }
    for (const key of deleted) {
      if (this.#sql.delete.run(key).changes > 0) this.#sql.remember.run(++number, revision, chars, key, null);
    }
    if (number === newest.number) return newest.revision;
    this.#forget(number, chars);
    return revision;
  }

  /** Drops the oldest events until the kept ones fit: on the average as many as were just added. */
  #forget(number: number, chars: number): void {
    this.#sql.forget.run(number - this.#keep);
    for (;;) {
      const oldest = this.#sql.oldest.get();
      const fits = oldest === undefined || chars - Number(oldest['chars']) <= this.#keepChars;
      if (fits || oldest['number'] === number) return;
      this.#sql.forget.run(Number(oldest['number']));
    }
  }

  #newest(): { readonly number: number; readonly revision: number; readonly chars: number } {
    const row = this.#sql.newest.get();
    return {
      number: Number(row?.['number'] ?? 0),
      revision: Number(row?.['revision'] ?? 0),
      chars: Number(row?.['chars'] ?? 0),
    };
  }

  #endLeases(): boolean {
    const due = this.#sql.due.all(this.#now());
    if (due.length > 0) this.#end(due.map((row) => Number(row['id'])));
    return due.length > 0;
  }

  #end(leases: readonly number[]): void {
    this.#file.write(() => {
      const keys = leases.flatMap((lease) => this.#sql.heldBy.all(lease).map((row) => String(row['key'])));
      for (const lease of leases) this.#sql.revoke.run(lease);
      this.#change([], keys.sort());
    });
    this.#bell.ring();
  }

  #changedUnseen(): boolean {
    return this.#file.run(() => {
      const ended = this.#endLeases();
      const before = this.#otherWrites;
      this.#otherWrites = this.#countOtherWrites();
      return ended || before !== this.#otherWrites;
    });
  }

  /** Changes whenever another connection has written (sqlite.org/pragma.html#pragma_data_version). */
  #countOtherWrites(): number {
    return Number(this.#sql.dataVersion.get()?.['data_version']);
  }
}

type Row = Record<string, unknown>;

function entryOf(row: Row): Entry {
  return {
    key: String(row['key']),
    value: JSON.parse(String(row['text'])),
    revision: Number(row['revision']),
  };
}

function eventOf(row: Row): WatchEvent {
  const revision = Number(row['revision']);
  const key = String(row['key']);
  if (row['text'] === null) return { type: 'delete', revision, key };
  return { type: 'put', revision, key, value: JSON.parse(String(row['text'])) };
}
