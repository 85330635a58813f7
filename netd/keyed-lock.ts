/** Lets one task at a time run for each key; tasks of different keys do not wait for each other. */

export type KeyedLock = <T>(key: string, task: () => Promise<T>) => Promise<T>;

export function createKeyedLock(): KeyedLock {
  const tails = new Map<string, Promise<unknown>>();
  return (key, task) => {
    const before = tails.get(key) ?? Promise.resolve();
    const run = before.then(task, task);
    tails.set(key, run);
    const tidy = (): void => {
      if (tails.get(key) === run) tails.delete(key);
    };
    run.then(tidy, tidy);
    return run;
  };
}
