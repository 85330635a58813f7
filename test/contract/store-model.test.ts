/** Every store against the smallest model of one: a map and a number. */
import fc from 'fast-check';
import type { Store } from '../../store/contract.ts';
import { kinds } from './store-tools.ts';

const key = fc.constantFrom('a', 'b', 'b/1', 'c~', 'D');
const step = fc.record({
  put: fc.uniqueArray(fc.record({ key, value: fc.jsonValue() }), { selector: (put) => put.key }),
  remove: fc.uniqueArray(key),
  /** A compare which holds when `off` is 0. */
  guess: fc.option(fc.record({ key, off: fc.constantFrom(0, 0, 1) }), { nil: undefined }),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface Model {
  readonly entries: Map<string, { value: unknown; revision: number }>;
  revision: number;
}

async function doBoth(store: Store, model: Model, { put, remove, guess }: Step): Promise<void> {
  const compare =
    guess === undefined
      ? []
      : [{ key: guess.key, revision: (model.entries.get(guess.key)?.revision ?? 0) + guess.off }];
  const result = await store.txn({ put, delete: remove, compare });
  expect(result.ok).toBe(guess === undefined || guess.off === 0);
  if (!result.ok) return;
  const gone = remove.filter((name) => model.entries.has(name));
  if (put.length + gone.length > 0) model.revision += 1;
  expect(result.revision).toBe(model.revision);
  for (const { key: name, value } of put) {
    model.entries.set(name, { value: JSON.parse(JSON.stringify(value)), revision: model.revision });
  }
  for (const name of gone) model.entries.delete(name);
}

/** The list equals the model, and so does a replay of the whole history. */
async function expectSame(store: Store, { entries: model, revision }: Model): Promise<void> {
  const page = await store.list('');
  expect(page.revision).toBe(revision);
  const listed = page.entries.map((entry) => [entry.key, { value: entry.value, revision: entry.revision }]);
  expect(listed).toEqual([...model].sort(([a], [b]) => (a < b ? -1 : 1)));
  const replay = new Map<string, { value: unknown; revision: number }>();
  const stop = new AbortController();
  await store.txn({ put: [{ key: 'the-end', value: null }] });
  for await (const event of store.watch('', 0, stop.signal)) {
    if (event.key === 'the-end') stop.abort();
    else if (event.type === 'delete') replay.delete(event.key);
    else replay.set(event.key, { value: event.value, revision: event.revision });
  }
  expect(replay).toEqual(model);
}

it.each(kinds)('a %s store behaves like a map, whatever the transactions', async (_kind, open) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      const store = open();
      const model: Model = { entries: new Map(), revision: 0 };
      for (const one of steps) {
        const removed = one.remove.filter((name) => !one.put.some((other) => other.key === name));
        await doBoth(store, model, { ...one, remove: removed });
      }
      await expectSame(store, model);
      await store.close();
    }),
    { numRuns: 60 },
  );
});
