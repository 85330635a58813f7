/**
 * Decides what has to be done so that the kernel holds an endpoint as it is recorded. ADD plans
 * from nothing, CHECK wants an empty plan, and a restart repairs by the same plan.
 */
import type { Address, ListedRoute } from '../linux/addressing.ts';
import type { Inside6 } from '../linux/addressing6.ts';
import type { Link } from '../linux/links.ts';
import { cidrPrefix, type Ipv4, type Mac } from '../model/addresses.ts';
import type { Endpoint, Nic, Side } from '../model/endpoint.ts';
import type { IfName } from '../model/names.ts';
import type { PortBinding } from '../tagqueue/maps.ts';
import type { PortIdentity } from '../tagqueue/port-binding.ts';
import type { NodeFacts } from './facts.ts';
import { accountOf } from './names.ts';
import { publishedWord } from './ruleset.ts';

/** What was seen of one interface inside the container. */
export interface InsideNic {
  readonly link: Link;
  readonly addresses: readonly Address[];
  readonly routes: readonly ListedRoute[];
  readonly ipv6: Inside6;
}

/** What was seen of one interface of an endpoint. */
export interface ObservedNic {
  readonly link: Link | undefined;
  readonly bridgeIndex: number | undefined;
  /** Kernel ids of the programs at the host end. */
  readonly programs: { readonly ingress: number | undefined; readonly egress: number | undefined };
  readonly binding: PortBinding | undefined;
  /** What the host has written down as the MAC of the container's address. */
  readonly neighbour: Mac | undefined;
  /** Whether the bridge knows that the container's MAC is behind this port. */
  readonly forwarded: boolean;
  /** undefined: the container's namespace cannot be entered from here, so it was not looked into. */
  readonly inside: InsideNic | 'missing' | undefined;
}

export interface ObservedEndpoint {
  readonly nics: ReadonlyMap<Side, ObservedNic>;
  /** Elements of the port maps, as words. */
  readonly published: ReadonlySet<string>;
  /** Kernel ids of the programs that belong at every port; undefined where the plane needs none. */
  readonly programs: { readonly ingress: number; readonly egress: number } | undefined;
}

/** In the order of doing: the fence stands before anything can flow, and ports open last. */
export const STAGES = ['create', 'fence', 'bind', 'wire', 'configure', 'limit', 'raise', 'publish'] as const;
export type Stage = (typeof STAGES)[number];

/** Stages that concern one interface; the others concern the container as a whole. */
type NicStage = Exclude<Stage, 'limit' | 'publish'>;

export type EndpointAction =
  | { readonly do: NicStage; readonly nic: Nic; readonly because: string }
  | { readonly do: 'limit' | 'publish'; readonly because: string };

/** Everything, in order: how an endpoint is made. */
export function planFromNothing(endpoint: Endpoint): EndpointAction[] {
  const because = 'it is new';
  return STAGES.flatMap((stage): EndpointAction[] => {
    if (stage === 'limit') return [{ do: 'limit', because }];
    if (stage === 'publish') return endpoint.ports.length === 0 ? [] : [{ do: 'publish', because }];
    return endpoint.nics.map((nic) => ({ do: stage, nic, because }));
  });
}

/** What is needed to get from what is there to what is recorded; empty when both are the same. */
export function planEndpoint(
  endpoint: Endpoint,
  facts: NodeFacts,
  observed: ObservedEndpoint,
): EndpointAction[] {
  const actions = endpoint.nics.flatMap((nic) => {
    const seen = observed.nics.get(nic.side);
    return seen === undefined ? [] : planNic(endpoint, nic, facts, seen, observed.programs);
  });
  // An interface that is made anew has no rates yet; those of the others are the keeper's business (netd/limits).
  const made = actions.find((action) => action.do === 'create');
  if (made !== undefined) actions.push({ do: 'limit', because: made.because });
  const ordered = STAGES.flatMap((stage) => actions.filter((action) => action.do === stage));
  return [...ordered, ...planPorts(endpoint, observed.published)];
}

function planNic(
  endpoint: Endpoint,
  nic: Nic,
  facts: NodeFacts,
  seen: ObservedNic,
  programs: ObservedEndpoint['programs'],
): EndpointAction[] {
  const need = (stage: NicStage, because: string | undefined): EndpointAction[] =>
    because === undefined ? [] : [{ do: stage, nic, because }];
  const { link } = seen;
  if (link === undefined)
    return STAGES.flatMap((stage) =>
      stage === 'limit' || stage === 'publish' ? [] : need(stage, `${nic.hostIf} is missing`),
    );
  return [
    ...need('fence', fenceFault(nic, seen, programs)),
    ...need(
      'bind',
      sameBinding(seen.binding, bindingOf(endpoint, nic, facts, link.index))
        ? undefined
        : `${nic.hostIf} is not bound to tenant ${endpoint.tenant}`,
    ),
    ...need('wire', wireFault(nic, seen, link)),
    ...need('configure', insideFault(nic, seen.inside)),
    ...need('raise', link.up ? undefined : `${nic.hostIf} is down`),
  ];
}

function fenceFault(
  nic: Nic,
  { programs }: ObservedNic,
  wanted: ObservedEndpoint['programs'],
): string | undefined {
  if (wanted === undefined) return undefined;
  if (programs.ingress === wanted.ingress && programs.egress === wanted.egress) return undefined;
  return `${nic.hostIf} lacks the fence's programs`;
}

function wireFault(nic: Nic, seen: ObservedNic, link: Link): string | undefined {
  if (seen.bridgeIndex === undefined || link.master !== seen.bridgeIndex)
    return `${nic.hostIf} is not a port of its bridge`;
  if (link.mtu !== nic.mtu) return `${nic.hostIf} has MTU ${link.mtu} instead of ${nic.mtu}`;
  if (!seen.forwarded) return `the bridge does not know the port of ${nic.mac}`;
  return seen.neighbour === nic.mac ? undefined : `the node does not know the MAC of ${nic.address}`;
}

function insideFault(nic: Nic, inside: ObservedNic['inside']): string | undefined {
  if (inside === undefined) return undefined;
  if (inside === 'missing') return `${nic.ifName} is missing in the container`;
  const { link, addresses, routes } = inside;
  if (link.mac !== nic.mac) return `${nic.ifName} has MAC ${link.mac} instead of ${nic.mac}`;
  if (!link.up) return `${nic.ifName} is down in the container`;
  const prefix = cidrPrefix(nic.block);
  if (
    !addresses.some((one) => one.index === link.index && one.address === nic.address && one.prefix === prefix)
  )
    return `${nic.ifName} lacks address ${nic.address}/${prefix}`;
  const missing = nic.routes.find(
    (to) => !routes.some((route) => route.to === to && route.dev === link.index && route.via === nic.gateway),
  );
  if (missing !== undefined) return `the route to ${missing} through ${nic.ifName} is missing`;
  return nic.ipv6 && ipv6Fault(nic.ifName, nic.ipv6, link.index, inside.ipv6);
}

function ipv6Fault(
  ifName: IfName,
  { address, gateway, pool }: NonNullable<Nic['ipv6']>,
  index: number,
  { addresses, routes }: Inside6,
): string | undefined {
  if (!addresses.some((one) => one.index === index && one.address === address))
    return `${ifName} lacks address ${address}`;
  if (routes.some(({ to, via, dev }) => to === pool && via === gateway && dev === index)) return undefined;
  return `the route to ${pool} through ${ifName} is missing`;
}

function planPorts(endpoint: Endpoint, published: ReadonlySet<string>): EndpointAction[] {
  const address: Ipv4 | undefined = endpoint.nics.find((nic) => nic.side === 'external')?.address;
  const closed = endpoint.ports.find(
    (port) => address !== undefined && !published.has(publishedWord(port, address)),
  );
  return closed === undefined
    ? []
    : [{ do: 'publish', because: `${closed.protocol} port ${closed.hostPort} is not open on the node` }];
}

/** What the port programs must know about the container behind a host end. */
export function bindingOf(endpoint: Endpoint, nic: Nic, facts: NodeFacts, ifindex: number): PortIdentity {
  return {
    account: accountOf(endpoint, nic.side),
    tag: endpoint.tag,
    ifindex,
    side: nic.side,
    address: nic.address,
    mac: nic.mac,
    gateway: nic.gateway,
    gatewayMac: facts.bridges[nic.side].mac,
    dualStack: nic.ipv6 !== undefined,
  };
}

/** Which mark the tenant has is not for us to say, so it is not compared. */
function sameBinding(bound: PortBinding | undefined, wanted: PortIdentity): boolean {
  if (bound === undefined) return false;
  return (Object.keys(wanted) as (keyof PortIdentity)[]).every((key) => bound[key] === wanted[key]);
}
