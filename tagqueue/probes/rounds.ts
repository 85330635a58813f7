/** Whose turn it is: a node with many peers proves the fence against some of them at a time, and everybody comes in turn. */

export interface Turn<T> {
  readonly peers: readonly T[];
  /** Whom the next round begins behind. */
  readonly last: string | undefined;
}

/**
 * @param peers  in any order; it may change from round to round
 * @param last   what the round before gave
 * @param most   peers of one round
 */
export function takeTurn<T extends { readonly node: string }>(
  peers: readonly T[],
  last: string | undefined,
  most: number,
): Turn<T> {
  const sorted = peers.toSorted((a, b) => (a.node < b.node ? -1 : 1));
  const first = last === undefined ? 0 : sorted.findIndex(({ node }) => node > last);
  const begin = Math.max(0, first);
  const taken = [...sorted.slice(begin), ...sorted.slice(0, begin)].slice(0, most);
  return { peers: taken, last: taken.at(-1)?.node };
}

/** In how many rounds everybody had a turn. */
export function roundsForAll(peers: number, most: number): number {
  return Math.max(1, Math.ceil(peers / most));
}
