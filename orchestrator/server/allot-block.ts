/** Which blocks of addresses the next node gets. */
import { type Cidr, cidrNetwork, cidrNth, cidrPrefix, ipv4ToNumber } from '../../model/addresses.ts';
import { SluiceError } from '../../model/errors.ts';

/**
 * The lowest block of the pool that no node has.
 *
 * @param prefix  length of a block's prefix; at least that of the pool
 * @param taken   blocks of this pool, all of this prefix length, any order
 * @throws SluiceError `addresses_exhausted` when every block has its node
 */
export function nextBlock(pool: Cidr, prefix: number, taken: readonly Cidr[]): Cidr {
  const start = ipv4ToNumber(cidrNetwork(pool));
  const size = 2 ** (32 - prefix);
  const numbers = new Set(taken.map((block) => (ipv4ToNumber(cidrNetwork(block)) - start) / size));
  const count = 2 ** (prefix - cidrPrefix(pool));
  for (let n = 0; n < count; n++) if (!numbers.has(n)) return cidrNth(pool, prefix, n);
  throw new SluiceError(
    'addresses_exhausted',
    `all ${count} blocks of ${pool} belong to nodes`,
    'delete a node that is gone, or make the next cluster with a larger pool or a longer network.blockPrefix',
  );
}
