/** Counts flows against limits, in a bounded amount of memory however many names a tenant asks for. */

export interface FlowLimit {
  readonly newPerSecond?: number | undefined;
  readonly burst?: number | undefined;
  readonly concurrent?: number | undefined;
}

/** Holders counted apart under one limit. Beyond them all strangers share one account, which is never larger. */
export const MOST_ACCOUNTS = 1_024;
const SHARED = '';

interface Account {
  tokens: number;
  /** When `tokens` was right, in ms. */
  at: number;
  flows: number;
}

/** What one limit has let through, apart for each holder: a domain, a protocol, or one for all. */
export class LimitAccounts {
  readonly #limit: FlowLimit;
  readonly #capacity: number;
  readonly #accounts = new Map<string, Account>();

  constructor(limit: FlowLimit) {
    this.#limit = limit;
    this.#capacity = limit.burst ?? Math.max(1, Math.ceil(limit.newPerSecond ?? 1));
  }

  get size(): number {
    return this.#accounts.size;
  }

  /** Whether flows hold places until they end. */
  get countsFlows(): boolean {
    return this.#limit.concurrent !== undefined;
  }

  /**
   * Lets a flow in, or does not; what is refused is charged nothing.
   * @param now  ms, of a clock that never goes back
   * @returns the name of the account that was charged, for `leave`; undefined when the limit is reached
   */
  enter(holder: string, now: number): string | undefined {
    const [name, account] = this.#accountOf(holder, now);
    this.#refill(account, now);
    const { newPerSecond, concurrent } = this.#limit;
    if (concurrent !== undefined && account.flows >= concurrent) return undefined;
    if (newPerSecond !== undefined) {
      if (account.tokens < 1) return undefined;
      account.tokens -= 1;
    }
    if (this.countsFlows) account.flows += 1;
    return name;
  }

  /** A flow that was let in has ended. */
  leave(account: string): void {
    const found = this.#accounts.get(account);
    if (found !== undefined && found.flows > 0) found.flows -= 1;
  }

  /** A flow that was there before anybody counted: it holds a place, and costs no token. */
  occupy(holder: string, now: number): string {
    const [name, account] = this.#accountOf(holder, now);
    if (this.countsFlows) account.flows += 1;
    return name;
  }

  #accountOf(holder: string, now: number): [string, Account] {
    const name = this.#nameOf(holder, now);
    const account = this.#accounts.get(name) ?? { tokens: this.#capacity, at: now, flows: 0 };
    this.#accounts.set(name, account);
    return [name, account];
  }

  #nameOf(holder: string, now: number): string {
    if (this.#accounts.has(holder) || this.#accounts.size < MOST_ACCOUNTS) return holder;
    this.#forgetIdle(now);
    return this.#accounts.size < MOST_ACCOUNTS ? holder : SHARED;
  }

  /** An account without flows and with all its tokens is as good as none. */
  #forgetIdle(now: number): void {
    for (const [name, account] of this.#accounts) {
      this.#refill(account, now);
      if (account.flows === 0 && account.tokens >= this.#capacity) this.#accounts.delete(name);
    }
  }

  #refill(account: Account, now: number): void {
    const { newPerSecond = 0 } = this.#limit;
    const earned = (Math.max(0, now - account.at) / 1_000) * newPerSecond;
    account.tokens = Math.min(this.#capacity, account.tokens + earned);
    account.at = Math.max(now, account.at);
  }
}
