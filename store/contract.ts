/** The one contract for kept state: keys with JSON values, atomic transactions, watches and leases. */

/** What a key holds. `revision` is that of the transaction which wrote it last. */
export interface Entry {
  readonly key: string;
  readonly value: unknown;
  readonly revision: number;
}

export interface ListOptions {
  /** At most this many entries; default: all. */
  readonly limit?: number;
  /** Only keys behind this one, for the next page. */
  readonly after?: string;
}

/** Entries in byte order of their keys. */
export interface Page {
  readonly entries: readonly Entry[];
  /** True when the limit cut the list: ask again with `after` = the last key. */
  readonly more: boolean;
  /** The store's revision at the moment of reading: a watch from here misses nothing and repeats nothing. */
  readonly revision: number;
}

export interface Compare {
  readonly key: string;
  /** The revision the key must have; 0: the key must not exist. */
  readonly revision: number;
}

export interface Put {
  readonly key: string;
  /** Anything JSON can carry, except undefined. */
  readonly value: unknown;
  /** The key is deleted when this lease ends. Without it the key stays, also if it hung on a lease before. */
  readonly lease?: LeaseId;
}

/** All of it happens, or nothing. No key may be written twice. */
export interface Txn {
  readonly compare?: readonly Compare[];
  readonly put?: readonly Put[];
  /** Deleting what does not exist is no error and no event. */
  readonly delete?: readonly string[];
}

/**
 * A conflict is an answer, not an exception: whoever compares expects it, reads again and decides.
 * `conflicts` holds what the keys really have.
 */
export type TxnResult =
  | { readonly ok: true; readonly revision: number }
  | { readonly ok: false; readonly conflicts: readonly Compare[] };

/** Events of one transaction share its revision and arrive one after the other. */
export type WatchEvent =
  | { readonly type: 'put'; readonly revision: number; readonly key: string; readonly value: unknown }
  | { readonly type: 'delete'; readonly revision: number; readonly key: string };

export type LeaseId = string & { readonly lease: true };

export interface Store {
  get(key: string): Promise<Entry | undefined>;

  /** @param prefix  '' lists everything */
  list(prefix: string, options?: ListOptions): Promise<Page>;

  /**
   * Each transaction that changes something gets the next revision; one that changes nothing gets the present.
   * When the promise resolves, the change survives the death of this process; with durability `full` also that
   * of the machine.
   *
   * @throws SluiceError `invalid_request` (bad key or value, a key written twice), `not_found` (no such lease),
   *   `try_again` (another process holds the file), `store_failed` (disk full, file damaged)
   */
  txn(txn: Txn): Promise<TxnResult>;

  /**
   * Every change after `fromRevision`, in order, as it happens; ends when the signal fires or the store is closed.
   *
   * @throws SluiceError `compacted` when the store no longer has (or never had) that history: list again.
   */
  watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncIterable<WatchEvent>;

  /** @param ttlMs  the lease ends this long after it was granted or last kept alive */
  grantLease(ttlMs: number): Promise<LeaseId>;

  /** @throws SluiceError `not_found` when the lease has ended. */
  keepLease(lease: LeaseId): Promise<void>;

  /** Ends the lease now and deletes its keys. A lease that has ended is no error. */
  revokeLease(lease: LeaseId): Promise<void>;

  /** Ends all watches and lets go of the file. May be called twice. */
  close(): Promise<void>;
}

/** What both stores can be given from outside. */
export interface StoreOptions {
  /** Wall clock, Unix time in ms: leases outlive the process, so a monotonic clock would not do. */
  readonly now?: () => number;
  /** How many events are kept for watches that start late; default 4096. */
  readonly history?: number;
  /** How often a watch looks for ended leases and for other processes' writes, in ms; default 100. */
  readonly pollMs?: number;
}
