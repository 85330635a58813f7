/** Carries the kernel's counters into the books: at intervals, when somebody asks, and at the end. */

import { asSluiceError, type SluiceError } from '../../model/errors.ts';
import type { Log } from '../../model/log.ts';
import {
  type AccountId,
  hourOf,
  type KnownAccount,
  type TenantTotal,
  type UsageQuestion,
  type UsageRow,
} from '../../model/usage.ts';
import type { UsageBooks, UsageStore } from '../../store/usage.ts';
import { findEndings } from './endings.ts';
import { type CountedAccounts, type LedgerEntry, planLedger } from './ledger.ts';

/** The kernel's side of the accounts. */
export interface CountingKernel {
  /** All counters at this moment. */
  read(): CountedAccounts;
  /** Accounts of ports that are bound. */
  bound(): ReadonlySet<AccountId>;
  /** Counts it no more. One that is gone is no error. */
  remove(account: AccountId): void;
}

export interface CollectorOptions {
  readonly kernel: CountingKernel;
  /** Opens the books; called again when it has failed. */
  readonly openBooks: () => UsageStore;
  /** Days after which the hours of an account are forgotten; undefined: not now. */
  readonly keepDays: number | undefined;
  /** Only goes on with what was last read here, and begins and ends nothing: another plane counts by now. */
  readonly leftover?: boolean;
  /** How long a port must be gone before its account is. */
  readonly graceMs: number;
  /** Unix ms, and ms of a clock that never goes backwards. */
  readonly now: () => number;
  readonly uptime: () => number;
}

export interface Collector {
  /**
   * Writes down what was counted since the last time, whole or not at all; then removes the accounts whose final
   * figures are written.
   * @throws SluiceError `store_failed`, `kernel_refused`; nothing is lost: the next time there is more to write
   */
  collect(): void;
  /** The books as they are. */
  sum(question: UsageQuestion): { readonly rows: UsageRow[]; readonly more: boolean };
  totals(): TenantTotal[];
  close(): void;
}

const DAY_MS = 86_400_000;

export function createCollector({
  kernel,
  openBooks,
  keepDays,
  leftover = false,
  graceMs,
  now,
  uptime,
}: CollectorOptions): Collector {
  let opened: UsageStore | undefined;
  let waiting: ReadonlyMap<AccountId, number> = new Map();
  let expiredIn: number | undefined;
  const books = (): UsageStore => {
    opened ??= openBooks();
    return opened;
  };

  /** The counters are read while the books are locked: a reading that is older than the last one would be a loss. */
  function writeDown(hour: number): AccountId[] {
    return books().write((page) => {
      const known = page.known();
      const counted = kernel.read();
      const entries = leftover ? continuing(known, counted) : planLedger(known, counted);
      for (const entry of entries) enter(page, hour, entry);
      if (keepDays !== undefined && expiredIn !== hour) page.expire(hour - keepDays * DAY_MS);
      return endable(known, counted);
    });
  }

  return {
    collect(): void {
      const hour = hourOf(now());
      // Ports first: one that was gone before the counters were read has added nothing since.
      const bound = kernel.bound();
      const accounts = writeDown(hour);
      expiredIn = hour;
      const endings = findEndings(accounts, bound, waiting, { now: uptime(), graceMs });
      waiting = endings.waiting;
      for (const account of endings.ended) kernel.remove(account);
    },
    sum: (question) => books().sum(question),
    totals: () => books().totals(),
    close: () => opened?.close(),
  };
}

function enter(page: UsageBooks, hour: number, entry: LedgerEntry): void {
  if (entry.do === 'open') page.open(entry.account, entry.owner);
  else if (entry.do === 'credit') page.credit(entry.account, hour, entry, entry.amount);
  else page.closeAccount(entry.account);
}

/** Of accounts that were last read here, and of no others. */
function continuing(known: ReadonlyMap<AccountId, KnownAccount>, counted: CountedAccounts): LedgerEntry[] {
  return planLedger(known, counted).filter(({ account }) => known.get(account)?.source === counted.source);
}

/** Accounts that are written down, and owners without an account: whoever was to make it died before. */
function endable(
  known: ReadonlyMap<AccountId, KnownAccount>,
  { counters, named }: CountedAccounts,
): AccountId[] {
  const written = [...counters.keys()].filter((account) => known.has(account) || named.has(account));
  return [...written, ...[...named].filter((account) => !counters.has(account))];
}

/** Collecting goes by the clock, so that an hour's figures end with the hour. */
const EVERY_MS = 5_000;

export interface Accounting {
  readonly collector: Collector;
  /** As of this moment, or of the last time that it worked; none as long as the books cannot be opened. */
  totals(): TenantTotal[];
  /** Why the last collection failed; undefined when it did not. */
  problem(): SluiceError | undefined;
  /** Collects for the last time. */
  close(): void;
}

/** Collects now and at intervals. What fails is logged once and tried again: the fence does not depend on it. */
export function startAccounting(collector: Collector, now: () => number, log: Log): Accounting {
  let problem: SluiceError | undefined;
  let timer: NodeJS.Timeout | undefined;

  function collect(): void {
    try {
      collector.collect();
      problem = undefined;
    } catch (error) {
      const { message, hint, code } = asSluiceError(error);
      if (problem?.message !== message)
        log.error({ code, reason: message, hint }, 'usage could not be written down');
      problem = asSluiceError(error);
    }
  }
  function next(): void {
    timer = setTimeout(
      () => {
        collect();
        next();
      },
      EVERY_MS - (now() % EVERY_MS),
    );
  }

  collect();
  next();
  return {
    collector,
    totals: () => {
      collect();
      return readOr([], () => collector.totals());
    },
    problem: () => problem,
    close: () => {
      clearTimeout(timer);
      collect();
      collector.close();
    },
  };
}

/** Why it cannot be read is told where it is written. */
function readOr<T>(otherwise: T, read: () => T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}
