/** Keeps a quiet stream visibly alive. */

/**
 * Passes on what `items` gives, and puts in `beat()` whenever `everyMs` go by without anything.
 * The reader's leaving ends `items` too.
 */
export async function* withHeartbeat<T, B>(
  items: AsyncIterable<T>,
  everyMs: number,
  beat: () => B,
): AsyncGenerator<T | B> {
  const iterator = items[Symbol.asyncIterator]();
  const mailbox = new Mailbox<T>();
  try {
    mailbox.fill(iterator.next());
    for (;;) {
      const arrived = await mailbox.take(everyMs);
      if (arrived === undefined) {
        yield beat();
        continue;
      }
      if (arrived.done === true) return;
      yield arrived.value;
      mailbox.fill(iterator.next());
    }
  } finally {
    // Not awaited: a sleeping generator returns only when its own signal wakes it.
    iterator.return?.(undefined).catch(() => {});
  }
}

/** Holds the one item that is on its way; racing its promise at every beat would pile up reactions on it. */
class Mailbox<T> {
  #arrived: (() => IteratorResult<T>) | undefined;
  #wake = (): void => {};

  fill(next: Promise<IteratorResult<T>>): void {
    next.then(
      (result) => this.#arrive(() => result),
      (error: unknown) =>
        this.#arrive(() => {
          throw error;
        }),
    );
  }

  /** @returns undefined when nothing came in time; throws what the item's promise threw. */
  async take(withinMs: number): Promise<IteratorResult<T> | undefined> {
    if (this.#arrived === undefined) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, withinMs);
      });
      clearTimeout(timer);
    }
    const arrived = this.#arrived;
    this.#arrived = undefined;
    return arrived?.();
  }

  #arrive(result: () => IteratorResult<T>): void {
    this.#arrived = result;
    this.#wake();
  }
}
