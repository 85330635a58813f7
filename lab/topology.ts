/** What a lab looks like before anything is built: names and addresses. */
import type { Ipv4 } from '../model/addresses.ts';
import { SluiceError } from '../model/errors.ts';
import { type IfName, NodeName } from '../model/names.ts';

/** Where `ip netns` keeps namespaces that have a name. */
export const NETNS_DIRECTORY = '/run/netns';
const LABS = '/run/sluice-lab';

/** Documentation addresses (RFC 5737): no lab can be mistaken for a real network. */
export const GATEWAY = '192.0.2.254' as Ipv4;
export const INTERNET_HOST = '198.51.100.10' as Ipv4;
/** Of the router in the middle, which is not on the wire's network: its ICMP errors come from here. */
export const ROUTER = '198.51.100.1' as Ipv4;
export const WIRE_PREFIX = 24;
export const UPLINK = 'up0' as IfName;
export const SERVER_PORT = 7070;
export const HTTP_PORT = 80;
/** The last address of the wire is the gateway's. */
const MOST_NODES = 253;

export interface NodePlan {
  readonly name: NodeName;
  readonly namespace: string;
  readonly address: Ipv4;
  readonly directory: string;
}

export interface Topology {
  readonly prefix: string;
  /** Everything of the lab that is in files. */
  readonly directory: string;
  readonly wire: string;
  readonly internet: string;
  readonly nodes: readonly NodePlan[];
}

/**
 * @param prefix  1 to 8 lower-case letters and digits: short, because sockets' paths are
 * @throws SluiceError `invalid_request`
 */
export function planLab(prefix: string, nodes: readonly string[]): Topology {
  if (!/^[a-z][a-z0-9]{0,7}$/.test(prefix)) throw invalid(`a lab cannot be called ${JSON.stringify(prefix)}`);
  if (nodes.length === 0 || nodes.length > MOST_NODES) throw invalid(`a lab has 1 to ${MOST_NODES} nodes`);
  if (new Set(nodes).size !== nodes.length) throw invalid('two nodes of a lab have one name');
  const directory = `${LABS}/${prefix}`;
  return {
    prefix,
    directory,
    wire: namespaceOf(prefix, 'wire'),
    internet: namespaceOf(prefix, 'internet'),
    nodes: nodes.map((name, index) => ({
      name: nodeName(name),
      namespace: namespaceOf(prefix, `node-${name}`),
      address: `192.0.2.${index + 1}` as Ipv4,
      directory: `${directory}/nodes/${name}`,
    })),
  };
}

/** How the hosts reach each other. */
export type Wire =
  /** A bridge that all of them are ports of. */
  | { readonly kind: 'switch' }
  /** A cable between the two nodes whose ends behave like network cards; no way to the internet. */
  | { readonly kind: 'nic' }
  /** A router between all of them: what it sends is at most `mtu` bytes long. */
  | { readonly kind: 'middle'; readonly mtu: number };

/** @throws SluiceError `invalid_request` */
export function planWire(
  nodes: readonly string[],
  {
    wire = 'switch',
    middle,
  }: { readonly wire?: 'switch' | 'nic'; readonly middle?: { readonly mtu: number } },
): Wire {
  if (wire === 'nic' && middle !== undefined) throw invalid('a cable has no router in its middle');
  if (wire === 'nic' && nodes.length !== 2) throw invalid('a cable connects two nodes');
  return middle === undefined ? { kind: wire } : { kind: 'middle', mtu: middle.mtu };
}

/** No prefix holds a dot, so one lab's names never begin with another's prefix. */
export function namespaceOf(prefix: string, what: string): string {
  return `${prefix}.${what}`;
}

/** The control group in which the lab's containers have theirs, from the root of each hierarchy. */
export function groupOf(prefix: string): string {
  return `/sluice-lab-${prefix}`;
}

export function belongsTo(prefix: string, namespace: string): boolean {
  return namespace.startsWith(`${prefix}.`);
}

function nodeName(name: string): NodeName {
  const parsed = NodeName.safeParse(name);
  if (parsed.success) return parsed.data;
  throw invalid(`${JSON.stringify(name)} is no node name`);
}

function invalid(message: string): SluiceError {
  return new SluiceError('invalid_request', message, 'choose other names for the lab');
}
