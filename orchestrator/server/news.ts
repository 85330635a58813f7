/** Waiting for the next thing that nodes tell, or for the end of one's patience. */
export class News {
  #closed = false;
  #count = 0;
  #next = Promise.withResolvers<void>();

  /** How often there was any. */
  get count(): number {
    return this.#count;
  }

  /** Wakes everybody who waits. */
  tell(): void {
    this.#count += 1;
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }

  /**
   * Resolves at the next news, or after so many ms.
   * @param since  a {@link count}; where there has been news since, nobody waits
   * @returns false when there is no point in waiting any longer: the signal has fired, or the server stops
   */
  async wait(since: number, withinMs: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted || this.#closed) return false;
    if (this.#count !== since) return true;
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    const timer = setTimeout(end, withinMs);
    const leave = (): void => end();
    signal.addEventListener('abort', leave, { once: true });
    await Promise.race([this.#next.promise, over]);
    clearTimeout(timer);
    signal.removeEventListener('abort', leave);
    return !(signal.aborted || this.#closed);
  }

  /** Ends all waiting, so that the server can stop. */
  close(): void {
    this.#closed = true;
    this.tell();
  }
}
