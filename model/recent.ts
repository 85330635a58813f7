/** The last few of what happened to each of many: bounded, and none pushes out what is another's. */

export interface Recent<T> {
  add(key: string | number, item: T): void;
  /** Of all keys, oldest first. */
  all(): T[];
  /** Of one key, oldest first. */
  of(key: string | number): T[];
}

interface Kept<T> {
  readonly number: number;
  readonly item: T;
}

/**
 * @param perKey  how many items of one key are kept
 * @param keys    of how many keys; beyond that the key that has been quiet for longest is forgotten
 */
export function createRecent<T>(perKey: number, keys: number): Recent<T> {
  // A Map remembers insertion: the key that was heard of last stands last.
  const kept = new Map<string | number, Kept<T>[]>();
  let number = 0;
  return {
    add(key, item): void {
      const items = kept.get(key) ?? [];
      kept.delete(key);
      kept.set(key, items);
      items.push({ number, item });
      number += 1;
      if (items.length > perKey) items.shift();
      const [quietest] = kept.keys();
      if (kept.size > keys && quietest !== undefined) kept.delete(quietest);
    },
    all: () =>
      [...kept.values()]
        .flat()
        .sort((a, b) => a.number - b.number)
        .map(({ item }) => item),
    of: (key) => (kept.get(key) ?? []).map(({ item }) => item),
  };
}
