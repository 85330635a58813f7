/** The books of usage: one SQLite file with how far every account was counted, sums by the hour, and totals. */
import type { StatementSync } from 'node:sqlite';
import type { Side } from '../model/endpoint.ts';
import type { ContainerId, IfName, TenantTag } from '../model/names.ts';
import {
  type AccountId,
  type AccountOwner,
  type Counters,
  HOUR_MS,
  type KnownAccount,
  type TenantTotal,
  type UsageGroup,
  type UsageQuestion,
  type UsageRow,
} from '../model/usage.ts';
import { type Durability, openFile, type SqliteFile, type Tables } from './sqlite-file.ts';

export interface UsageStore {
  /** Runs `work` in one write transaction that locks out all others: all of it is written or, when it throws, nothing. */
  write<T>(work: (books: UsageBooks) => T): T;
  /** Rows in the order of the hours, else the largest first; `more`: there were more than the question allows. */
  sum(question: UsageQuestion): { readonly rows: UsageRow[]; readonly more: boolean };
  /** By tenant and side. They only grow. */
  totals(): TenantTotal[];
  close(): void;
}

/** Inside a write transaction. */
export interface UsageBooks {
  /** Accounts that are not closed. */
  known(): Map<AccountId, KnownAccount>;
  /** One that was closed is opened again. */
  open(account: AccountId, owner: AccountOwner): void;
  /** @param hour  which hour the amount belongs to: its beginning in Unix ms */
  credit(account: AccountId, hour: number, known: KnownAccount, amount: Counters): void;
  closeAccount(account: AccountId): void;
  /** Forgets hours before this one, and more of the oldest when the file is nearly full; the totals stay. */
  expire(before: number): void;
}

export interface UsageStoreOptions {
  /** As for the embedded store; default `full`. */
  readonly durability?: Durability;
  /** The file may not grow beyond this many bytes: before it does, the oldest hours go. Default 1 GiB. */
  readonly maxBytes?: number;
}

/** SQLite's integers are signed: ids and counters are kept as the same 64 bits. */
const TABLES: Tables = {
  version: 1,
  sql: `
  CREATE TABLE accounts (
    id INTEGER PRIMARY KEY, tag INTEGER NOT NULL, side TEXT NOT NULL, container TEXT NOT NULL, ifname TEXT NOT NULL,
    open INTEGER NOT NULL, last_hour INTEGER NOT NULL, source TEXT NOT NULL,
    sent_bytes INTEGER NOT NULL, sent_packets INTEGER NOT NULL,
    received_bytes INTEGER NOT NULL, received_packets INTEGER NOT NULL
  );
  CREATE INDEX open_accounts ON accounts (id) WHERE open = 1;
  CREATE TABLE hours (
    hour INTEGER NOT NULL, account INTEGER NOT NULL,
    sent_bytes INTEGER NOT NULL, sent_packets INTEGER NOT NULL,
    received_bytes INTEGER NOT NULL, received_packets INTEGER NOT NULL,
    PRIMARY KEY (hour, account)
  ) WITHOUT ROWID;
  CREATE TABLE totals (
    tag INTEGER NOT NULL, side TEXT NOT NULL,
    sent_bytes INTEGER NOT NULL, sent_packets INTEGER NOT NULL,
    received_bytes INTEGER NOT NULL, received_packets INTEGER NOT NULL,
    PRIMARY KEY (tag, side)
  ) WITHOUT ROWID;
`,
};

const COLUMNS = 'sent_bytes, sent_packets, received_bytes, received_packets';
const ADDED = `DO UPDATE SET sent_bytes = sent_bytes + excluded.sent_bytes,
  sent_packets = sent_packets + excluded.sent_packets,
  received_bytes = received_bytes + excluded.received_bytes,
  received_packets = received_packets + excluded.received_packets`;
const SUMS = `sum(h.sent_bytes) AS sent_bytes, sum(h.sent_packets) AS sent_packets,
  sum(h.received_bytes) AS received_bytes, sum(h.received_packets) AS received_packets`;
const IN_QUESTION = `FROM hours h JOIN accounts a ON a.id = h.account
  WHERE h.hour > ?1 AND h.hour < ?2 AND (?3 IS NULL OR a.tag = ?3)`;
const LARGEST_FIRST = 'ORDER BY sum(h.sent_bytes) + sum(h.received_bytes) DESC, a.tag, a.side';

const SQL = {
  known: `SELECT id, source, ${COLUMNS} FROM accounts WHERE open = 1`,
  // Zeros, because an account that is opened again is counted from zero again.
  open: `INSERT INTO accounts (id, tag, side, container, ifname, open, last_hour, source, ${COLUMNS})
    VALUES (?, ?, ?, ?, ?, 1, 0, '', 0, 0, 0, 0)
    ON CONFLICT (id) DO UPDATE SET open = 1, source = ''`,
  seen: `UPDATE accounts SET last_hour = max(last_hour, ?2), source = ?3,
    sent_bytes = ?4, sent_packets = ?5, received_bytes = ?6, received_packets = ?7 WHERE id = ?1`,
  hour: `INSERT INTO hours (account, hour, ${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (hour, account) ${ADDED}`,
  total: `INSERT INTO totals (tag, side, ${COLUMNS}) SELECT tag, side, ?2, ?3, ?4, ?5 FROM accounts WHERE id = ?1
    ON CONFLICT (tag, side) ${ADDED}`,
  close: 'UPDATE accounts SET open = 0 WHERE id = ?',
  expireHours: 'DELETE FROM hours WHERE hour < ?',
  expireAccounts: 'DELETE FROM accounts WHERE open = 0 AND last_hour < ?',
  oldest: 'SELECT min(hour) AS hour FROM hours',
  totals: `SELECT tag, side, ${COLUMNS} FROM totals ORDER BY tag, side`,
  pages: 'PRAGMA page_count',
  freePages: 'PRAGMA freelist_count',
  mostPages: 'PRAGMA max_page_count',
  tenant: `SELECT a.tag, a.side, ${SUMS} ${IN_QUESTION} GROUP BY a.tag, a.side ${LARGEST_FIRST} LIMIT ?4`,
  endpoint: `SELECT a.tag, a.side, a.container, a.ifname, ${SUMS} ${IN_QUESTION}
    GROUP BY a.id ${LARGEST_FIRST}, a.container LIMIT ?4`,
  // `inHour`, because a name of a table's column would not be the grouped one.
  inHour: `SELECT h.hour, a.tag, a.side, ${SUMS} ${IN_QUESTION}
    GROUP BY h.hour, a.tag, a.side ORDER BY h.hour, a.tag, a.side LIMIT ?4`,
} as const;
type Statements = Readonly<Record<keyof typeof SQL, StatementSync>>;

const STATEMENT_BY = { tenant: 'tenant', endpoint: 'endpoint', hour: 'inHour' } as const satisfies Record<
  UsageGroup,
  keyof typeof SQL
>;

/** The oldest hours go when so much of the file is in use. */
const NEARLY_FULL = 0.9;
const DAY_MS = 24 * HOUR_MS;

/**
 * Opens or makes the file, private as every store of ours.
 * @throws SluiceError `store_failed` when it is damaged, of another version, or cannot be opened.
 */
export function openUsageStore(path: string, options: UsageStoreOptions = {}): UsageStore {
  const file = openFile(path, options.durability ?? 'full', options.maxBytes ?? 2 ** 30, TABLES);
  const sql = prepare(file);
  const books = booksOver(sql);
  return {
    write: (work) => file.run(() => file.write(() => work(books))),
    sum: (question) => file.run(() => sum(sql, question)),
    totals: () => file.run(() => sql.totals.all().map(rowOf)),
    close: () => file.close(),
  };
}

/** All numbers come as BigInt: counters have 64 bits. */
function prepare(file: SqliteFile): Statements {
  const compiled = Object.entries(SQL).map(([name, text]) => {
    const statement = file.prepare(text);
    statement.setReadBigInts(true);
    return [name, statement] as const;
  });
  return Object.fromEntries(compiled) as Statements;
}

function booksOver(sql: Statements): UsageBooks {
  return {
    known: () =>
      new Map(
        sql.known
          .all()
          .map((row) => [
            BigInt.asUintN(64, row['id'] as bigint) as AccountId,
            { source: String(row['source']), seen: countersOf(row) },
          ]),
      ),
    open: (account, { tag, side, container, ifName }) => {
      sql.open.run(signed(account), tag, side, container, ifName);
    },
    credit: (account, hour, { source, seen }, amount) => {
      const id = signed(account);
      sql.seen.run(id, hour, source, ...columnsOf(seen));
      sql.hour.run(id, hour, ...columnsOf(amount));
      sql.total.run(id, ...columnsOf(amount));
    },
    closeAccount: (account) => {
      sql.close.run(signed(account));
    },
    expire: (before) => expire(sql, before),
  };
}

function expire(sql: Statements, before: number): void {
  for (let first = before; ; ) {
    sql.expireHours.run(first);
    sql.expireAccounts.run(first);
    const oldest = sql.oldest.get()?.['hour'];
    if (typeof oldest !== 'bigint' || !isNearlyFull(sql)) return;
    first = Number(oldest) + DAY_MS;
  }
}

function isNearlyFull(sql: Statements): boolean {
  const used = pragma(sql.pages, 'page_count') - pragma(sql.freePages, 'freelist_count');
  return used > NEARLY_FULL * pragma(sql.mostPages, 'max_page_count');
}

function pragma(statement: StatementSync, name: string): number {
  return Number(statement.get()?.[name]);
}

function sum(
  sql: Statements,
  { by, from, to, tag, limit }: UsageQuestion,
): { rows: UsageRow[]; more: boolean } {
  // One row more than asked for tells whether there are more.
  const found = sql[STATEMENT_BY[by]].all(from - HOUR_MS, to, tag ?? null, limit + 1);
  return { rows: found.slice(0, limit).map(rowOf), more: found.length > limit };
}

type Row = Readonly<Record<string, unknown>>;

function rowOf(row: Row): UsageRow {
  return {
    tag: Number(row['tag']) as TenantTag,
    side: row['side'] as Side,
    ...('container' in row && {
      container: row['container'] as ContainerId,
      ifName: row['ifname'] as IfName,
    }),
    ...('hour' in row && { hour: Number(row['hour']) }),
    ...countersOf(row),
  };
}

function countersOf(row: Row): Counters {
  const at = (name: string): bigint => BigInt.asUintN(64, row[name] as bigint);
  return {
    sentBytes: at('sent_bytes'),
    sentPackets: at('sent_packets'),
    receivedBytes: at('received_bytes'),
    receivedPackets: at('received_packets'),
  };
}

/** In the order of COLUMNS. */
function columnsOf(counters: Counters): bigint[] {
  return [counters.sentBytes, counters.sentPackets, counters.receivedBytes, counters.receivedPackets].map(
    signed,
  );
}

function signed(bits: bigint): bigint {
  return BigInt.asIntN(64, bits);
}
