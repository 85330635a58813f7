/** Tells when the kernel has killed in a container because its memory was out: pure, from counters that are read again and again. */

export interface OomKill<Key> {
  readonly container: Key;
  /** Since the last look. */
  readonly kills: number;
  /** Since we first saw the container. */
  readonly total: number;
}

export interface OomBook<Key> {
  /**
   * @param kills  as the container's memory group counts them now; undefined when there is no group
   * @param isNew  whether the container was made after we began to look: then all of them are news
   * @returns what is new; undefined when nothing is
   */
  look(container: Key, kills: number | undefined, isNew: boolean): OomKill<Key> | undefined;
  /** Since we first saw it, or since we started. */
  total(container: Key): number;
  forget(container: Key): void;
}

interface Page {
  readonly kernel: number;
  readonly total: number;
}

export function createOomBook<Key>(): OomBook<Key> {
  const pages = new Map<Key, Page>();
  return {
    look(container, kills, isNew): OomKill<Key> | undefined {
      if (kills === undefined) return undefined;
      const last = pages.get(container);
      // A group that was made anew counts from nothing.
      const before = last?.kernel ?? (isNew ? 0 : kills);
      const fresh = kills < before ? kills : kills - before;
      const total = (last?.total ?? 0) + fresh;
      pages.set(container, { kernel: kills, total });
      return fresh > 0 ? { container, kills: fresh, total } : undefined;
    },
    total: (container) => pages.get(container)?.total ?? 0,
    forget: (container) => void pages.delete(container),
  };
}
