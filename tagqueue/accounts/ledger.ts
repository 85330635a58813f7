/**
 * The bookkeeping of accounts, pure: how far an account was counted before, and what its counters say now, become
 * what has to be written down. Both are written in one transaction, so that every byte is written down just once.
 */
import {
  type AccountId,
  type AccountOwner,
  COUNTERS,
  type Counters,
  type KnownAccount,
  NOTHING,
} from '../../model/usage.ts';

/** The kernel's counters at one moment. */
export interface CountedAccounts {
  /** Names the map, for as long as this machine runs. */
  readonly source: string;
  readonly counters: ReadonlyMap<AccountId, Counters>;
  /** Accounts whose owner has been told. */
  readonly named: ReadonlySet<AccountId>;
  ownerOf(account: AccountId): AccountOwner | undefined;
}

export type LedgerEntry =
  /** An account that was not known before. */
  | { readonly do: 'open'; readonly account: AccountId; readonly owner: AccountOwner }
  /** Adds `amount` and remembers that the counters were read as `seen`. */
  | {
      readonly do: 'credit';
      readonly account: AccountId;
      readonly source: string;
      readonly seen: Counters;
      readonly amount: Counters;
    }
  /** The kernel counts it no more. */
  | { readonly do: 'close'; readonly account: AccountId };

/**
 * An account whose owner has not been told yet stays in the kernel and is counted later.
 *
 * @param known  accounts that are not closed
 */
export function planLedger(
  known: ReadonlyMap<AccountId, KnownAccount>,
  { source, counters, ownerOf }: CountedAccounts,
): LedgerEntry[] {
  const entries: LedgerEntry[] = [];
  for (const [account, now] of counters) {
    const before = known.get(account);
    if (before === undefined) {
      const owner = ownerOf(account);
      if (owner === undefined) continue;
      entries.push({ do: 'open', account, owner });
    }
    const same = before?.source === source;
    const amount = amountSince(same ? before.seen : NOTHING, now);
    if (!(same && isNothing(amount))) entries.push({ do: 'credit', account, source, seen: now, amount });
  }
  for (const account of known.keys()) {
    if (!counters.has(account)) entries.push({ do: 'close', account });
  }
  return entries;
}

/** Half of what a 64-bit counter can count: at 400 Gbit/s it takes five years to get there. */
const TOO_FAR = 2n ** 63n;

/**
 * What was counted between two readings. Counters run on from 2^64 - 1 to 0. One that seems to have run half around
 * was emptied instead: what it shows was counted since.
 */
export function amountSince(seen: Counters, now: Counters): Counters {
  const steps = COUNTERS.map((name) => BigInt.asUintN(64, now[name] - seen[name]));
  if (steps.some((step) => step >= TOO_FAR)) return now;
  const [sentBytes = 0n, sentPackets = 0n, receivedBytes = 0n, receivedPackets = 0n] = steps;
  return { sentBytes, sentPackets, receivedBytes, receivedPackets };
}

function isNothing(counters: Counters): boolean {
  return COUNTERS.every((name) => counters[name] === 0n);
}
