/** A value that others may follow: they get the newest one, never a backlog. */

export interface Latest<T> {
  get(): T;
  set(value: T): void;
  /** The value now and whenever it has changed since; ends with the signal. */
  follow(signal: AbortSignal): AsyncGenerator<T>;
}

export function createLatest<T>(initial: T): Latest<T> {
  let value = initial;
  let changed = Promise.withResolvers<void>();

  return {
    get: () => value,
    set: (next) => {
      value = next;
      changed.resolve();
      changed = Promise.withResolvers();
    },
    async *follow(signal): AsyncGenerator<T> {
      const ended = new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      while (!signal.aborted) {
        const next = changed.promise;
        yield value;
        await Promise.race([next, ended]);
      }
    },
  };
}
