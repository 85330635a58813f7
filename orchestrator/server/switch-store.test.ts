/** The history of switches: in order, found by id, and never longer than it may be. */
import { Switch } from '../../model/switch.ts';
import type { Store } from '../../store/contract.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { PATHS } from './layout.ts';
import { liveKey, liveSwitches, mustFindSwitch, newSwitchId, toHistory } from './switch-store.ts';

let store: Store;
beforeEach(() => {
  store = openMemoryStore();
});
afterEach(() => store.close());

const aSwitch = (n: number): Switch =>
  Switch.parse({
    ...{
      id: `sw-0000000${n}`,
      name: 's',
      select: {},
      changes: { cpu: { do: 'lift' } },
      percent: 100,
      priority: 0,
    },
    ...{ from: 0, until: 1, repeat: null, reason: 'why', openedBy: 'root', openedAt: n },
  });
const put = (one: Switch): Promise<unknown> => store.txn({ put: [{ key: liveKey(one), value: one }] });
const end = async (...ended: Switch[]): Promise<unknown> => store.txn(await toHistory(store, ended, 3));
const ids = (all: readonly { one: Switch }[]): string[] => all.map(({ one }) => one.id);

describe('switches in the store', () => {
  it('are listed by age, those that wait for a second person among them', async () => {
    const waiting: Switch = { ...aSwitch(2), approval: { by: null, at: null } };
    for (const one of [aSwitch(3), waiting, aSwitch(1)]) await put(one);
    expect(ids(await liveSwitches(store))).toEqual([1, 2, 3].map((n) => aSwitch(n).id));
    expect((await store.list(PATHS.switches)).entries).toHaveLength(2);
  });

  it('go into a history that keeps the last ones, whole batches at a time', async () => {
    for (let n = 1; n <= 8; n++) await put(aSwitch(n));
    await end(aSwitch(1), aSwitch(2));
    await end(aSwitch(3));
    for (const n of [1, 2, 3]) expect((await mustFindSwitch(store, aSwitch(n).id)).over).toBe(true);
    await end(aSwitch(4), aSwitch(5));
    await expect(mustFindSwitch(store, aSwitch(1).id)).rejects.toMatchObject({ code: 'not_found' });
    await expect(mustFindSwitch(store, aSwitch(2).id)).rejects.toMatchObject({ code: 'not_found' });
    await end(aSwitch(6));
    expect(
      (await store.list(PATHS.history)).entries.map(({ value }) => Switch.parse(value).openedAt),
    ).toEqual([4, 5, 6]);
    expect((await store.list(PATHS.historyIds)).entries).toHaveLength(3);
    expect(ids(await liveSwitches(store))).toEqual([7, 8].map((n) => aSwitch(n).id));
  });

  it('have ids of their own', () => {
    expect(newSwitchId((bytes) => Buffer.alloc(bytes, 255))).toMatch(/^sw-[a-z0-9]{8}$/);
  });
});
