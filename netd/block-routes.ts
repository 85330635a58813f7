/** Where the other nodes' blocks are: by which next hop, for the kernel's routes and for the plane's. */
import { type ListedRoute, OUR_ROUTES } from '../linux/addressing.ts';
import { type Cidr, cidrContains, cidrPrefix, type Ipv4 } from '../model/addresses.ts';
import type { ClusterNode } from '../model/cluster.ts';
import type { BlockRoute } from '../tagqueue/maps.ts';

/**
 * @param present  the main table
 * @param uplink   interface index; undefined while it is away, and then peers are taken to be on its wire
 */
export function blockRoutes(
  peers: readonly ClusterNode[],
  present: readonly ListedRoute[],
  uplink: number | undefined,
): Map<Cidr, BlockRoute> {
  const ways = present.filter(({ protocol, dev }) => protocol !== OUR_ROUTES && dev === uplink);
  return new Map(
    peers.map(({ internalBlock, uplinkAddress }) => [
      internalBlock,
      { node: uplinkAddress, nextHop: nextHopTo(uplinkAddress, ways) },
    ]),
  );
}

/** The longest prefix wins (RFC 1812, section 5.2.4.3); an address on the wire is its own next hop. */
function nextHopTo(address: Ipv4, ways: readonly ListedRoute[]): Ipv4 {
  const length = ({ to }: ListedRoute): number => (to === 'default' ? 0 : cidrPrefix(to));
  const [best] = ways
    .filter(({ to }) => to === 'default' || cidrContains(to, address))
    .sort((one, other) => length(other) - length(one));
  return best?.via ?? address;
}

export type BlockRouteAction =
  | { readonly do: 'set-block'; readonly block: Cidr; readonly route: BlockRoute }
  | { readonly do: 'drop-block'; readonly block: Cidr };

/** What makes the plane's routes those that are wanted. */
export function planBlockRoutes(
  wanted: ReadonlyMap<Cidr, BlockRoute>,
  present: ReadonlyMap<Cidr, BlockRoute>,
): BlockRouteAction[] {
  const changed = [...wanted].filter(([block, { node, nextHop }]) => {
    const there = present.get(block);
    return there?.node !== node || there.nextHop !== nextHop;
  });
  const gone = [...present.keys()].filter((block) => !wanted.has(block));
  return [
    ...changed.map(([block, route]): BlockRouteAction => ({ do: 'set-block', block, route })),
    ...gone.map((block): BlockRouteAction => ({ do: 'drop-block', block })),
  ];
}
