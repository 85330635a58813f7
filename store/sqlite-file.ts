/** A SQLite file of ours: made private, checked when opened, and every error told in our words. */
import fs from 'node:fs';
import path from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { SluiceError } from '../model/errors.ts';

export type Durability = 'full' | 'normal';

export interface SqliteFile {
  prepare(sql: string): StatementSync;
  /** Runs `work` and tells what SQLite says in our words. */
  run<T>(work: () => T): T;
  /** Runs `work` in a read transaction: all its statements see one state. */
  read<T>(work: () => T): T;
  /** Runs `work` in a write transaction: all of it or, when it throws, nothing. */
  write<T>(work: () => T): T;
  close(): void;
}

/** What a file holds. */
export interface Tables {
  /** Grows with each change of the tables; a file of another number is refused. */
  readonly version: number;
  /** Makes them in an empty file. */
  readonly sql: string;
}

/**
 * `events` repeats values on purpose: a watch reads the value as it was then. Its row numbers are given by us,
 * because the newest row is what the next number and revision follow from. `chars` is the running total of values,
 * which tells the size of any stretch of history by one subtraction.
 */
export const STORE_TABLES: Tables = {
  version: 1,
  sql: `
  CREATE TABLE entries (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, revision INTEGER NOT NULL, lease INTEGER
  ) WITHOUT ROWID;
  CREATE INDEX entries_by_lease ON entries (lease) WHERE lease IS NOT NULL;
  CREATE TABLE events (
    number INTEGER PRIMARY KEY, revision INTEGER NOT NULL, chars INTEGER NOT NULL, key TEXT NOT NULL, text TEXT
  );
  CREATE TABLE leases (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl_ms REAL NOT NULL, ends_at REAL NOT NULL);
  CREATE INDEX leases_by_end ON leases (ends_at);
`,
};

/** How long a writer waits for another process's transaction. Ours take less than a millisecond. */
const BUSY_TIMEOUT_MS = 5_000;

/** @throws SluiceError `store_failed` */
export function openFile(
  file: string,
  durability: Durability,
  maxBytes: number,
  tables: Tables = STORE_TABLES,
): SqliteFile {
  const told = <T>(work: () => T): T => tell(file, work);
  const db = told(() => {
    makePrivate(file);
    return new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  });
  try {
    told(() => prepareFile(db, file, { durability, maxBytes, tables }));
  } catch (error) {
    db.close();
    throw error;
  }
  return {
    prepare: (sql) => told(() => db.prepare(sql)),
    run: told,
    read: (work) => within(db, 'BEGIN', work),
    write: (work) => within(db, 'BEGIN IMMEDIATE', work),
    close: () => db.close(),
  };
}

interface Preparation {
  readonly durability: Durability;
  readonly maxBytes: number;
  readonly tables: Tables;
}

function prepareFile(db: DatabaseSync, file: string, { durability, maxBytes, tables }: Preparation): void {
  db.exec('PRAGMA journal_mode = WAL');
  db.exec(`PRAGMA synchronous = ${durability === 'full' ? 'FULL' : 'NORMAL'}`);
  db.exec(`PRAGMA journal_size_limit = ${16 * 2 ** 20}`);
  const found = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
  if (found !== 'ok') throw damaged(file, String(found));
  within(db, 'BEGIN IMMEDIATE', () => {
    const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
    if (version === 0) db.exec(`${tables.sql}; PRAGMA user_version = ${tables.version};`);
    else if (version !== tables.version) throw ofAnotherTime(file, version, tables.version);
  });
  const pageSize = Number(db.prepare('PRAGMA page_size').get()?.['page_size']);
  db.exec(`PRAGMA max_page_count = ${Math.floor(maxBytes / pageSize)}`);
}

/** SQLite gives its side files the mode of the main file, so making that one private is enough. */
function makePrivate(file: string): void {
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  fs.closeSync(fs.openSync(file, 'a', 0o600));
  fs.chmodSync(file, 0o600);
}

function within<T>(db: DatabaseSync, begin: string, work: () => T): T {
  db.exec(begin);
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    // SQLite may have rolled back by itself (disk full, I/O error); a second ROLLBACK would hide the cause.
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

function tell<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof SluiceError ? error : translated(file, error);
  }
}

/** Primary result codes: sqlite.org/rescode.html; the extended ones carry them in the low byte. */
function translated(file: string, error: unknown): SluiceError {
  const { errcode, message } = error as { errcode?: number; message?: string };
  switch ((errcode ?? 0) & 0xff) {
    case 5: // SQLITE_BUSY
    case 6: // SQLITE_LOCKED
      return new SluiceError(
        'try_again',
        `another process holds ${file}`,
        'try again; if it lasts, find the process',
        {
          cause: error,
        },
      );
    case 11: // SQLITE_CORRUPT
    case 26: // SQLITE_NOTADB
      return damaged(file, message ?? 'damaged', error);
    case 13: // SQLITE_FULL
      return failed(
        file,
        'the disk or the store is full; nothing was written',
        'free space, then try again',
        error,
      );
    case 8: // SQLITE_READONLY
    case 14: // SQLITE_CANTOPEN
      return failed(
        file,
        message ?? 'cannot be opened',
        'check the directory, its owner and its mode',
        error,
      );
    default:
      return failed(file, message ?? String(error), 'check the disk; the kernel log may say more', error);
  }
}

function failed(file: string, what: string, hint: string, cause?: unknown): SluiceError {
  return new SluiceError('store_failed', `${file}: ${what}`, hint, { cause });
}

function damaged(file: string, what: string, cause?: unknown): SluiceError {
  const hint = 'it was left untouched: move it away to start empty, or put a backup in its place';
  return failed(file, `is damaged or no store of ours (${what})`, hint, cause);
}

function ofAnotherTime(file: string, version: number, known: number): SluiceError {
  return failed(file, `has schema ${version}, this program knows ${known}`, 'run the newer sluice again');
}
