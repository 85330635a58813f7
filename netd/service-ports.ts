/** The ports of this node that the cluster's own daemons listen on: no container may publish them. */
import type { Ipv4 } from '../model/addresses.ts';
import type { PublishedPort } from '../model/endpoint.ts';
import { SluiceError } from '../model/errors.ts';
import type { Service } from './context.ts';

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
      protocol === 'tcp' && (hostIp ?? own) === own && here.some(({ port }) => port === hostPort),
  );
  if (taken === undefined) return;
  throw new SluiceError(
    'port_taken',
    `tcp port ${taken.hostPort} of this node is the cluster's own`,
    'choose another host port',
  );
}
