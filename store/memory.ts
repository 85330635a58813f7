/** A store that forgets at the end: for tests, simulated nodes and one-shot commands. */
import { SluiceError } from '../model/errors.ts';
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
import { checkKey, checkTxn, historyGone, leaseGone, rangeOf, type WrittenPut } from './rules.ts';
import { Bell, follow, type History } from './watching.ts';

interface Record {
  /** Kept as text, so that no caller can change what is stored by changing an object. */
  readonly text: string;
  readonly revision: number;
  readonly lease: LeaseId | null;
}

interface Lease {
  readonly ttlMs: number;
  readonly endsAt: number;
}

export function openMemoryStore(options: StoreOptions = {}): Store {
  return new MemoryStore(options);
}

class MemoryStore implements Store, History {
  readonly #now: () => number;
  readonly #keep: number;
  readonly #bell: Bell;
  readonly #records = new Map<string, Record>();
  readonly #leases = new Map<LeaseId, Lease>();
  #events: { readonly event: WatchEvent; readonly number: number }[] = [];
  #lastNumber = 0;
  #lastLease = 0;
  #revision = 0;

  constructor(options: StoreOptions) {
    this.#now = options.now ?? Date.now;
    this.#keep = options.history ?? 4096;
    this.#bell = new Bell(() => this.#endLeases(), options.pollMs ?? 100);
  }

  async get(key: string): Promise<Entry | undefined> {
    this.#begin();
    const record = this.#records.get(checkKey(key));
    return record === undefined ? undefined : entryOf(key, record);
  }

  async list(prefix: string, { limit, after }: ListOptions = {}): Promise<Page> {
    this.#begin();
    const { from, to } = rangeOf(prefix);
    const keys = [...this.#records.keys()].filter(
      (key) => key >= from && key < to && (after === undefined || key > after),
    );
    keys.sort((a, b) => (a < b ? -1 : 1));
    const page = keys.slice(0, limit);
    const entries = page.flatMap((key) => {
      const record = this.#records.get(key);
      return record === undefined ? [] : [entryOf(key, record)];
    });
    return { entries, more: page.length < keys.length, revision: this.#revision };
  }

  async txn(txn: Txn): Promise<TxnResult> {
    this.#begin();
    const { compare, put, delete: deleted } = checkTxn(txn);
    const conflicts = compare
      .map(({ key }) => ({ key, revision: this.#records.get(key)?.revision ?? 0 }))
      .filter((real, index) => real.revision !== compare[index]?.revision);
    if (conflicts.length > 0) return { ok: false, conflicts };
    for (const { lease } of put) if (lease !== null && !this.#leases.has(lease)) throw leaseGone(lease);
    this.#write(put, deleted);
    return { ok: true, revision: this.#revision };
  }

  watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncIterable<WatchEvent> {
    rangeOf(prefix);
    return follow(this, this.#bell, prefix, fromRevision, signal);
  }

  async grantLease(ttlMs: number): Promise<LeaseId> {
    this.#begin();
    this.#lastLease += 1;
    const lease = String(this.#lastLease) as LeaseId;
    this.#leases.set(lease, { ttlMs, endsAt: this.#now() + ttlMs });
    return lease;
  }

  async keepLease(lease: LeaseId): Promise<void> {
    this.#begin();
    const held = this.#leases.get(lease);
    if (held === undefined) throw leaseGone(lease);
    this.#leases.set(lease, { ...held, endsAt: this.#now() + held.ttlMs });
  }

  async revokeLease(lease: LeaseId): Promise<void> {
    this.#begin();
    this.#end([lease]);
  }

  async close(): Promise<void> {
    this.#bell.close();
  }

  cursorAt(revision: number): number {
    const oldest = this.#events[0];
    const whole = oldest === undefined || oldest.number === 1 || revision >= oldest.event.revision;
    if (!whole || revision > this.#revision) throw historyGone(revision);
    return this.#events.findLast(({ event }) => event.revision <= revision)?.number ?? 0;
  }

  eventsAfter(cursor: number, prefix: string, limit: number): { events: WatchEvent[]; cursor: number } {
    const first = this.#events[0]?.number ?? 1;
    if (cursor < first - 1) throw historyGone(this.#revision);
    const { from, to } = rangeOf(prefix);
    const found = this.#events
      .slice(cursor - first + 1)
      .filter(({ event }) => event.key >= from && event.key < to)
      .slice(0, limit);
    const last = found.length === limit ? found.at(-1)?.number : undefined;
    return { events: found.map(({ event }) => event), cursor: last ?? this.#lastNumber };
  }

  #begin(): void {
    if (this.#bell.closed) throw new SluiceError('store_failed', 'the store is closed', 'open it again');
    this.#endLeases();
  }

  #write(put: readonly WrittenPut[], deleted: readonly string[]): void {
    const gone = deleted.filter((key) => this.#records.has(key));
    if (put.length + gone.length === 0) return;
    const revision = this.#revision + 1;
    this.#revision = revision;
    for (const { key, text, lease } of put) {
      this.#records.set(key, { text, revision, lease });
      this.#remember({ type: 'put', revision, key, value: JSON.parse(text) });
    }
    for (const key of gone) {
      this.#records.delete(key);
      this.#remember({ type: 'delete', revision, key });
    }
    if (this.#events.length >= 2 * this.#keep) this.#events = this.#events.slice(-this.#keep);
    this.#bell.ring();
  }

  #remember(event: WatchEvent): void {
    this.#lastNumber += 1;
    this.#events.push({ event, number: this.#lastNumber });
  }

  #endLeases(): boolean {
    const now = this.#now();
    const ended = [...this.#leases].filter(([, { endsAt }]) => endsAt <= now).map(([lease]) => lease);
    if (ended.length > 0) this.#end(ended);
    return ended.length > 0;
  }

  #end(leases: readonly LeaseId[]): void {
    for (const lease of leases) this.#leases.delete(lease);
    const keys = [...this.#records]
      .filter(([, { lease }]) => lease !== null && leases.includes(lease))
      .map(([key]) => key);
    this.#write([], keys.sort());
  }
}

function entryOf(key: string, { text, revision }: Record): Entry {
  return { key, value: JSON.parse(text), revision };
}
