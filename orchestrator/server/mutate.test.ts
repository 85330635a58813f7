import type { Store } from '../../store/contract.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { AUDIT_KEPT, AuditEntry, PATHS, readAll } from './layout.ts';
import { type Deed, mutator, type Plan } from './mutate.ts';

const deed: Deed = { who: { role: 'root' }, operation: 'tenant.create', subject: 'x' };

let store: Store;
beforeEach(() => {
  store = openMemoryStore();
});
afterEach(() => store.close());

/** Adds one to what it reads. A lost update shows as a sum that is too small. */
const addOne: Plan<void> = async () => {
  const value = Number((await store.get('sum'))?.value ?? 0);
  await new Promise(setImmediate);
  return { put: [{ key: 'sum', value: value + 1 }], result: undefined };
};

describe('changes', () => {
  it('are decided one after the other within a server', async () => {
    const mutate = mutator(store, () => 7);
    await Promise.all(Array.from({ length: 20 }, () => mutate(deed, addOne)));
    expect((await store.get('sum'))?.value).toBe(20);
    const entries = await readAll(store, PATHS.audit, AuditEntry);
    expect(entries.map((entry) => entry.number)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(entries[0]).toEqual({ number: 1, at: 7, who: 'root', operation: 'tenant.create', subject: 'x' });
  });

  it('are decided again when another server was faster', async () => {
    const servers = [mutator(store, () => 0), mutator(store, () => 0)];
    for (let i = 0; i < 10; i++) await Promise.all(servers.map((mutate) => mutate(deed, addOne)));
    expect((await store.get('sum'))?.value).toBe(20);
    expect(await readAll(store, PATHS.audit, AuditEntry)).toHaveLength(20);
  });

  it('leave neither trace nor audit line when they are refused, and hold up nobody', async () => {
    const mutate = mutator(store, () => 0);
    const refused = mutate(deed, () => Promise.reject(new Error('no')));
    const next = mutate(deed, addOne);
    await expect(refused).rejects.toThrow('no');
    await next;
    expect(await readAll(store, PATHS.audit, AuditEntry)).toHaveLength(1);
  });

  it('keep the audit log from growing for ever', async () => {
    await store.txn({ put: [{ key: PATHS.lastAudit, value: { last: AUDIT_KEPT } }] });
    await store.txn({ put: [{ key: `${PATHS.audit}000000000001`, value: 'the oldest' }] });
    await mutator(store, () => 0)(deed, addOne);
    expect((await readAll(store, PATHS.audit, AuditEntry)).map((entry) => entry.number)).toEqual([
      AUDIT_KEPT + 1,
    ]);
  });
});
