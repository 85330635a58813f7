/** The ports of this node that are the cluster's own, its daemons' and the tunnel's: no container may publish them. */
import type { Ipv4 } from '../model/addresses.ts';
import type { ClusterView } from '../model/cluster.ts';
import type { PublishedPort } from '../model/endpoint.ts';
import { SluiceError } from '../model/errors.ts';
import { BRICK_PORTS, GLUSTERD_PORTS, type PortRange } from '../model/gluster-ports.ts';
import type { NodeName } from '../model/names.ts';
import { flowPort } from '../tagqueue/nfqueue/names.ts';

/** Where something of the cluster itself listens. */
export interface Service {
  readonly protocol: 'tcp' | 'udp';
  readonly address: Ipv4;
  readonly port: number;
  /** Where it listens at several in a row, the last of them. */
  readonly lastPort?: number;
}

/** What tunnels depend on. */
interface TunnelOptions {
  readonly node: NodeName;
  readonly vxlanPort: number;
  readonly flows: boolean;
}

/** What nodes of the cluster have of services, besides the server. A node without volumes shuts others' all the same. */
export function clusterServices(view: ClusterView | undefined, options: TunnelOptions): Service[] {
  return [...tunnelServices(view, options), ...storageServices(view)];
}

/** The tunnels between nodes: whoever got their packets would read what other tenants send. Empty until the node is known. */
function tunnelServices(view: ClusterView | undefined, { node, vxlanPort, flows }: TunnelOptions): Service[] {
  const address = view?.nodes.get(node)?.uplinkAddress;
  if (address === undefined) return [];
  const ports = flows ? [vxlanPort, flowPort(vxlanPort)] : [vxlanPort];
  return ports.map((port) => ({ protocol: 'udp', address, port }));
}

/**
 * Gluster's ports: glusterd's on every node, because any may become a storage node; those of bricks where volumes have
 * some. Containers get to volumes by mounts alone (docs/decisions/0060-storaged.md).
 */
function storageServices(view: Pick<ClusterView, 'nodes' | 'volumes'> | undefined): Service[] {
  if (view === undefined) return [];
  const nodes = [...view.nodes.values()].map(({ uplinkAddress }) => uplinkAddress);
  const bricks = [...view.volumes.values()].flatMap((volume) => volume.bricks.map(({ address }) => address));
  const listening = (addresses: readonly Ipv4[], { first, last }: PortRange): Service[] =>
    [...new Set(addresses)].map((address) => ({ protocol: 'tcp', address, port: first, lastPort: last }));
  return [...listening(nodes, GLUSTERD_PORTS), ...listening(bricks, BRICK_PORTS)];
}

/**
 * Whoever published one would take over the connections of all nodes. The ruleset leaves such a port with its
 * service in any case; this tells the one who asks.
 *
 * @param own  address of this node's uplink; undefined as long as the node does not know it
 * @throws SluiceError `port_taken`
 */
export function refuseServicePorts(
  ports: readonly PublishedPort[],
  services: readonly Service[],
  own: Ipv4 | undefined,
): void {
  const here = services.filter(({ address }) => address === own);
  const taken = ports.find(
    ({ protocol, hostPort, hostIp }) =>
      (hostIp ?? own) === own &&
      here.some((service) => service.protocol === protocol && isAmong(hostPort, service)),
  );
  if (taken === undefined) return;
  throw new SluiceError(
    'port_taken',
    `${taken.protocol} port ${taken.hostPort} of this node is the cluster's own`,
    'choose another host port',
  );
}

function isAmong(port: number, { port: first, lastPort: last = first }: Service): boolean {
  return port >= first && port <= last;
}
