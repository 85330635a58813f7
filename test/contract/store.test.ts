/** What every store must do. */
import type { LeaseId, Store, StoreOptions, Txn } from '../../store/contract.ts';
import { keysOf, kinds, never, take } from './store-tools.ts';

describe.each(kinds)('a %s store', (_kind, open) => {
  const opened: Store[] = [];
  const openOne = (options?: StoreOptions): Store => {
    const store = open(options);
    opened.push(store);
    return store;
  };
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
  });

  describe('reading and writing', () => {
    it('gives back what was put, with the revision that put it', async () => {
      const store = openOne();
      const value = { text: 'ü', list: [1, null, { deep: true }] };
      expect(await store.txn({ put: [{ key: 'a', value }] })).toEqual({ ok: true, revision: 1 });
      expect(await store.txn({ put: [{ key: 'b', value: null }] })).toEqual({ ok: true, revision: 2 });
      expect(await store.get('a')).toEqual({ key: 'a', value, revision: 1 });
      expect(await store.get('b')).toEqual({ key: 'b', value: null, revision: 2 });
      expect(await store.get('c')).toBeUndefined();
    });

    it('does not share objects with its callers', async () => {
      const store = openOne();
      const value = { n: 1 };
      await store.txn({ put: [{ key: 'a', value }] });
      value.n = 2;
      ((await store.get('a'))?.value as { n: number }).n = 3;
      expect((await store.get('a'))?.value).toEqual({ n: 1 });
    });

    it('counts no revision for a transaction that changes nothing', async () => {
      const store = openOne();
      await store.txn({ put: [{ key: 'a', value: 1 }] });
      expect(await store.txn({ delete: ['nothing'] })).toEqual({ ok: true, revision: 1 });
      expect(await store.txn({ delete: ['a'] })).toEqual({ ok: true, revision: 2 });
    });

    it('refuses a key written twice, a bad key and a value that is no JSON, and writes nothing', async () => {
      const store = openOne();
      const bad: Txn[] = [
        { put: [{ key: 'a', value: 1 }], delete: ['a'] },
        { put: [{ key: '', value: 1 }] },
        { put: [{ key: 'a b', value: 1 }] },
        { put: [{ key: 'a\0b', value: 1 }] },
        { put: [{ key: 'x'.repeat(513), value: 1 }] },
        {
          put: [
            { key: 'fine', value: 1 },
            { key: 'a', value: undefined },
          ],
        },
      ];
      for (const txn of bad) await expect(store.txn(txn)).rejects.toMatchObject({ code: 'invalid_request' });
      expect((await store.list('')).entries).toEqual([]);
    });
  });

  describe('lists', () => {
    it('keep to the prefix, in byte order, page by page', async () => {
      const store = openOne();
      const keys = ['a/1', 'a/10', 'a/2', 'a/Z', 'a/~', 'a', 'b/1', 'A/1'];
      await store.txn({ put: keys.map((key) => ({ key, value: key })) });
      const all = await store.list('a/');
      expect(keysOf(all.entries)).toEqual(['a/1', 'a/10', 'a/2', 'a/Z', 'a/~']);
      expect(all).toMatchObject({ more: false, revision: 1 });
      const first = await store.list('a/', { limit: 2 });
      expect([keysOf(first.entries), first.more]).toEqual([['a/1', 'a/10'], true]);
      const second = await store.list('a/', { limit: 3, after: 'a/10' });
      expect([keysOf(second.entries), second.more]).toEqual([['a/2', 'a/Z', 'a/~'], false]);
    });
  });

  describe('compares', () => {
    it('let a key be created only once', async () => {
      const store = openOne();
      const create: Txn = { compare: [{ key: 'a', revision: 0 }], put: [{ key: 'a', value: 'first' }] };
      expect(await store.txn(create)).toMatchObject({ ok: true });
      expect(await store.txn(create)).toEqual({ ok: false, conflicts: [{ key: 'a', revision: 1 }] });
    });

    it('keep back the whole transaction when one key has moved on', async () => {
      const store = openOne();
      await store.txn({
        put: [
          { key: 'a', value: 1 },
          { key: 'b', value: 1 },
        ],
      });
      await store.txn({ put: [{ key: 'b', value: 2 }] });
      const result = await store.txn({
        compare: [
          { key: 'a', revision: 1 },
          { key: 'b', revision: 1 },
        ],
        put: [{ key: 'a', value: 9 }],
        delete: ['b'],
      });
      expect(result).toEqual({ ok: false, conflicts: [{ key: 'b', revision: 2 }] });
      expect((await store.list('')).entries.map((entry) => entry.value)).toEqual([1, 2]);
    });
  });

  describe('watches', () => {
    it('tell every change after their revision, in order, and only of their prefix', async () => {
      const store = openOne();
      await store.txn({ put: [{ key: 'a/1', value: 'before' }] });
      const { revision } = await store.list('a/');
      await store.txn({
        put: [
          { key: 'a/2', value: 2 },
          { key: 'b/1', value: 0 },
        ],
        delete: ['a/1'],
      });
      const told = take(store.watch('a/', revision, never), 3);
      await store.txn({ put: [{ key: 'a/3', value: 3 }] });
      expect(await told).toEqual([
        { type: 'put', revision: 2, key: 'a/2', value: 2 },
        { type: 'delete', revision: 2, key: 'a/1' },
        { type: 'put', revision: 3, key: 'a/3', value: 3 },
      ]);
    });

    it('tell old values as they were', async () => {
      const store = openOne();
      for (const value of [1, 2, 3]) await store.txn({ put: [{ key: 'a', value }] });
      const told = await take(store.watch('', 0, never), 3);
      expect(told.map((event) => event.type === 'put' && event.value)).toEqual([1, 2, 3]);
    });

    it('end with their signal and with the store', async () => {
      const store = openOne();
      const stop = new AbortController();
      const first = take(store.watch('', 0, stop.signal), 1);
      const second = take(store.watch('', 0, never), 1);
      await new Promise(setImmediate);
      stop.abort();
      expect(await first).toEqual([]);
      await store.close();
      expect(await second).toEqual([]);
    });

    it('say so when the history is no longer there, or never was', async () => {
      const store = openOne({ history: 8 });
      for (let i = 0; i < 50; i++) await store.txn({ put: [{ key: 'a', value: i }] });
      await expect(take(store.watch('', 1, never), 1)).rejects.toMatchObject({ code: 'compacted' });
      await expect(take(store.watch('', 51, never), 1)).rejects.toMatchObject({ code: 'compacted' });
      expect(await take(store.watch('', 45, never), 5)).toHaveLength(5);
    });

    it('say so when they read too slowly', async () => {
      const store = openOne({ history: 8 });
      await store.txn({ put: [{ key: 'a', value: 0 }] });
      const watch = store.watch('', 0, never)[Symbol.asyncIterator]();
      await watch.next();
      for (let i = 0; i < 50; i++) await store.txn({ put: [{ key: 'a', value: i }] });
      await expect(watch.next()).rejects.toMatchObject({ code: 'compacted' });
    });
  });

  describe('leases', () => {
    const openAt = (): { store: Store; pass(ms: number): void } => {
      let now = 1_000_000;
      const pass = (ms: number): void => {
        now += ms;
      };
      const store = openOne({ now: () => now, pollMs: 5 });
      return { store, pass };
    };

    it('take their keys with them when they end', async () => {
      const { store, pass } = openAt();
      const lease = await store.grantLease(1_000);
      await store.txn({
        put: [
          { key: 'held', value: 1, lease },
          { key: 'free', value: 1 },
        ],
      });
      pass(999);
      expect(await store.get('held')).toBeDefined();
      pass(1);
      expect(await store.get('held')).toBeUndefined();
      expect(keysOf((await store.list('')).entries)).toEqual(['free']);
    });

    it('tell a sleeping watch, though nobody calls the store', async () => {
      const { store, pass } = openAt();
      const lease = await store.grantLease(1_000);
      await store.txn({ put: [{ key: 'held', value: 1, lease }] });
      const told = take(store.watch('', 1, never), 1);
      pass(1_000);
      expect(await told).toEqual([{ type: 'delete', revision: 2, key: 'held' }]);
    });

    it('live on while they are kept, and cannot be kept when they have ended', async () => {
      const { store, pass } = openAt();
      const lease = await store.grantLease(1_000);
      await store.txn({ put: [{ key: 'held', value: 1, lease }] });
      pass(900);
      await store.keepLease(lease);
      pass(900);
      expect(await store.get('held')).toBeDefined();
      pass(100);
      await expect(store.keepLease(lease)).rejects.toMatchObject({ code: 'not_found' });
    });

    it('end when they are revoked, and let go of keys that were put again without them', async () => {
      const { store } = openAt();
      const lease = await store.grantLease(1_000);
      await store.txn({
        put: [
          { key: 'a', value: 1, lease },
          { key: 'b', value: 1, lease },
        ],
      });
      await store.txn({ put: [{ key: 'b', value: 2 }] });
      await store.revokeLease(lease);
      await store.revokeLease(lease);
      expect(keysOf((await store.list('')).entries)).toEqual(['b']);
    });

    it('must exist for a key to hang on them', async () => {
      const { store } = openAt();
      const put = [
        { key: 'a', value: 1 },
        { key: 'b', value: 1, lease: '77' as LeaseId },
      ];
      await expect(store.txn({ put })).rejects.toMatchObject({ code: 'not_found' });
      expect((await store.list('')).entries).toEqual([]);
    });
  });
});
