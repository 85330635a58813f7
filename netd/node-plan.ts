/** Decides what the node itself needs: two bridges, routes to its peers, kernel settings; and what nobody owns any more. */
import type { Address, ListedRoute, Route } from '../linux/addressing.ts';
import { OUR_ROUTES } from '../linux/addressing.ts';
import type { Link } from '../linux/links.ts';
import { type Cidr, cidrPrefix, type Ipv4 } from '../model/addresses.ts';
import type { IfName } from '../model/names.ts';
import type { BlockRoute } from '../tagqueue/maps.ts';
import type { Bridge, NodeFacts } from './facts.ts';
import { FIRST_GROUP, LAST_GROUP, looksLikeHostEnd } from './names.ts';

/** One kernel setting, by its path below /proc/sys. */
export interface Setting {
  readonly name: string;
  readonly value: string;
}

export interface ObservedNode {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  readonly routes: readonly ListedRoute[];
  /** Present values of the wanted settings; undefined where the kernel has no such setting. */
  readonly settings: ReadonlyMap<string, string | undefined>;
}

export type NodeAction =
  | { readonly do: 'bridge'; readonly bridge: Bridge }
  | { readonly do: 'bridge-mtu'; readonly bridge: Bridge }
  | { readonly do: 'bridge-up'; readonly bridge: Bridge }
  | { readonly do: 'bridge-address'; readonly bridge: Bridge }
  | { readonly do: 'setting'; readonly setting: Setting }
  /** Without `via` it refuses. */
  | {
      readonly do: 'route';
      readonly to: Cidr;
      readonly via: Ipv4 | undefined;
      /** The tunnel device; undefined: the uplink. */
      readonly tunnel: number | undefined;
      readonly source: Ipv4 | undefined;
    }
  | { readonly do: 'unroute'; readonly route: Route }
  | { readonly do: 'remove-link'; readonly link: Link };

/** Settings of the node as a whole; each with the reason why the fence or the walk of a packet needs it. */
export function nodeSettings(): Setting[] {
  return [
    // The node is the router of its containers.
    { name: 'net/ipv4/ip_forward', value: '1' },
    // What the kernel answers to a container's packet (path MTU, time exceeded) bears the container's tenant.
    { name: 'net/ipv4/fwmark_reflect', value: '1' },
  ];
}

/** Settings of a bridge; the bridge must exist. */
export function bridgeSettings(bridge: Bridge): Setting[] {
  const v4 = `net/ipv4/conf/${bridge.name}`;
  const v6 = `net/ipv6/conf/${bridge.name}`;
  return [
    { name: `${v4}/accept_redirects`, value: '0' },
    { name: `${v4}/send_redirects`, value: '0' },
    // Answer ARP for the gateway's address only, not for every address of the node.
    { name: `${v4}/arp_ignore`, value: '1' },
    { name: `${v6}/disable_ipv6`, value: '1' },
    // A published port is reachable from the node by 127.0.0.1; containers cannot send there (port program).
    ...(bridge.side === 'external' ? [{ name: `${v4}/route_localnet`, value: '1' }] : []),
  ];
}

export interface NodePlanInput {
  readonly facts: NodeFacts;
  /** Where the other nodes' blocks are. */
  readonly blocks: ReadonlyMap<Cidr, BlockRoute>;
  /** Index of the device through which peers are reached; undefined: by the uplink. */
  readonly tunnel?: number | undefined;
  /** Host ends of the endpoints on record. */
  readonly ownedLinks: ReadonlySet<IfName>;
  readonly observed: ObservedNode;
}

/** In the order of doing. Empty when all is as it should be. */
export function planNode({ facts, blocks, tunnel, ownedLinks, observed }: NodePlanInput): NodeAction[] {
  const bridges = [facts.bridges.internal, facts.bridges.external];
  return [
    ...bridges.flatMap((bridge) => planBridge(bridge, observed)),
    ...planSettings([...nodeSettings(), ...bridges.flatMap(bridgeSettings)], observed),
    ...planRoutes(facts, blocks, tunnel, observed.routes),
    ...planOrphans(facts, ownedLinks, observed.links),
  ];
}

function planBridge(bridge: Bridge, { links, addresses }: ObservedNode): NodeAction[] {
  const link = links.find(({ name }) => name === bridge.name);
  if (link === undefined)
    return [
      { do: 'bridge', bridge },
      { do: 'bridge-address', bridge },
    ];
  const actions: NodeAction[] = [];
  if (link.mtu !== bridge.mtu) actions.push({ do: 'bridge-mtu', bridge });
  if (!link.up) actions.push({ do: 'bridge-up', bridge });
  const prefix = cidrPrefix(bridge.block);
  if (
    !addresses.some(
      (one) => one.index === link.index && one.address === bridge.gateway && one.prefix === prefix,
    )
  )
    actions.push({ do: 'bridge-address', bridge });
  return actions;
}

/** A setting that the kernel lacks (no IPv6) needs nothing; one of a bridge yet to be made is set with it. */
function planSettings(wanted: readonly Setting[], { settings }: ObservedNode): NodeAction[] {
  return wanted
    .filter(
      ({ name, value }) =>
        settings.has(name) && settings.get(name) !== undefined && settings.get(name) !== value,
    )
    .map((setting) => ({ do: 'setting', setting }));
}

type Way = Pick<Extract<NodeAction, { readonly do: 'route' }>, 'via' | 'tunnel' | 'source'>;

/**
 * One route per peer's internal block, and refusals for the rest of both pools: an address that
 * no node has must not leave by the default route.
 */
function planRoutes(
  facts: NodeFacts,
  blocks: NodePlanInput['blocks'],
  tunnel: number | undefined,
  present: readonly ListedRoute[],
): NodeAction[] {
  // What this node itself answers to remote containers comes from its own block, or their node would refuse it.
  const source = facts.bridges.internal.gateway;
  const refused = { via: undefined, source: undefined, tunnel: undefined };
  const wanted = new Map<Cidr, Way>([
    [facts.internalPool, refused],
    [facts.externalPool, refused],
    ...[...blocks].map(([block, { node, nextHop }]) => {
      const via = tunnel === undefined ? nextHop : node;
      return [block, { via, source, tunnel }] as const;
    }),
  ]);
  const ours = present.filter(({ protocol }) => protocol === OUR_ROUTES);
  const changes = [...wanted]
    .filter(
      ([to, { via, source, tunnel: through }]) =>
        !ours.some(
          (route) =>
            route.to === to &&
            route.via === via &&
            route.source === source &&
            (through === undefined || route.dev === through),
        ),
    )
    .map(([to, way]): NodeAction => ({ do: 'route', to, ...way }));
  const leftovers = ours
    .filter(({ to }) => to === 'default' || !wanted.has(to))
    .map((route): NodeAction => ({ do: 'unroute', route }));
  // Removals come last: while a block moves between peers its containers keep one way in at every step.
  return [...changes, ...leftovers];
}

/** Links that look like ours, sit on our bridges, and belong to no endpoint on record. */
function planOrphans(facts: NodeFacts, owned: ReadonlySet<IfName>, links: readonly Link[]): NodeAction[] {
  const bridgeNames: readonly IfName[] = [facts.bridges.internal.name, facts.bridges.external.name];
  const bridges = new Set(links.filter(({ name }) => bridgeNames.includes(name)).map(({ index }) => index));
  return links
    .filter(
      (link) =>
        link.kind === 'veth' &&
        looksLikeHostEnd(link.name) &&
        link.group >= FIRST_GROUP &&
        link.group <= LAST_GROUP,
    )
    .filter((link) => link.master === undefined || bridges.has(link.master))
    .filter((link) => !owned.has(link.name))
    .map((link) => ({ do: 'remove-link', link }));
}
