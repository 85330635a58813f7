/** Which accounts have come to their end: their port is gone, and has been for long enough. Pure. */
import type { AccountId } from '../../model/usage.ts';

export interface Endings {
  /** Accounts whose figures are final. */
  readonly ended: readonly AccountId[];
  /** Accounts without a port, and since when, for the next time. */
  readonly waiting: ReadonlyMap<AccountId, number>;
}

/**
 * An account is made before its port is bound, a port that is repaired is without its binding for a moment, and a
 * packet may just be passing. All that is over when a port has been gone for the time of grace.
 *
 * @param now  in ms of any clock that never goes backwards
 */
export function findEndings(
  accounts: Iterable<AccountId>,
  bound: ReadonlySet<AccountId>,
  waiting: ReadonlyMap<AccountId, number>,
  { now, graceMs }: { readonly now: number; readonly graceMs: number },
): Endings {
  const without = [...accounts].filter((account) => !bound.has(account));
  const since = new Map(without.map((account) => [account, waiting.get(account) ?? now]));
  return {
    ended: without.filter((account) => now - (since.get(account) ?? now) >= graceMs),
    waiting: since,
  };
}
