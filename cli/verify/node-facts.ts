/** What a proof must know of the node it runs on and of its cluster. */

import { listRoutes } from '../../linux/addressing.ts';
import { type ApiClient, localClient } from '../../linux/api-client.ts';
import { NETLINK_ROUTE, openNetlink } from '../../linux/netlink.ts';
import { inNetns, type Netns, openNetns } from '../../linux/netns.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import type { ClusterNode } from '../../model/cluster.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { SluiceError } from '../../model/errors.ts';
import type { IfName, NodeName } from '../../model/names.ts';
import { socketOf } from '../places.ts';
import { readUpRecord } from '../supervisor/up-file.ts';

export interface NodeUnderProof {
  readonly node: NodeName;
  readonly uplink: IfName;
  readonly uplinkAddress: Ipv4;
  readonly plane: string;
  readonly peers: readonly ClusterNode[];
}

/** netd and tagqueue of the node of this run directory. */
export interface NodeDaemons extends Disposable {
  readonly netd: ApiClient;
  readonly tagqueue: ApiClient;
}

export function openDaemons(runDir: string): NodeDaemons {
  const netd = localClient(socketOf({ runDir }, 'netd'));
  const tagqueue = localClient(socketOf({ runDir }, 'tagqueue'));
  return {
    netd,
    tagqueue,
    [Symbol.dispose]: () => {
      netd.close();
      tagqueue.close();
    },
  };
}

/** The namespace that `sluice up` of this run directory lives in; without one, that of this process. */
export function openNodeNetns(runDir: string): Netns {
  const record = readUpRecord({ runDir });
  return openNetns(record === undefined ? '/proc/self/ns/net' : `/proc/${record.pid}/ns/net`);
}

/** @throws SluiceError `not_ready` when the node cannot attach containers now, `unreachable` */
export async function learnNode(daemons: NodeDaemons, server: ApiClient): Promise<NodeUnderProof> {
  const status = (await daemons.netd.request('GET', '/v1/status')) as NetdStatus;
  if (!status.ready || status.node === undefined || status.uplink === undefined) {
    throw new SluiceError(
      'not_ready',
      `this node is not ready: ${status.reason ?? 'it knows no cluster yet'}`,
      'wait: sluice status --wait',
    );
  }
  const { plane } = (await daemons.tagqueue.request('GET', '/v1/status')) as { plane: string };
  const { snapshot } = (await server.request('GET', '/v1/cluster')) as { snapshot: { nodes: ClusterNode[] } };
  const self = snapshot.nodes.find(({ node }) => node === status.node);
  if (self === undefined)
    throw new SluiceError('not_found', `the server knows no node ${status.node}`, 'see `sluice node list`');
  return {
    ...{ node: status.node, uplink: status.uplink, uplinkAddress: self.uplinkAddress, plane },
    peers: snapshot.nodes.filter(({ node }) => node !== status.node),
  };
}

interface NetdStatus {
  readonly ready: boolean;
  readonly reason?: string;
  readonly node?: NodeName;
  readonly uplink?: IfName;
}

/** The endpoint of a container of this node. @throws SluiceError `not_found` */
export async function findEndpoint({ netd }: NodeDaemons, container: string): Promise<Endpoint> {
  const { endpoints } = (await netd.request('GET', `/v1/endpoints/${container}`)) as {
    endpoints: Endpoint[];
  };
  const [endpoint] = endpoints;
  if (endpoint !== undefined) return endpoint;
  throw new SluiceError('not_found', `no container ${container} on this node`, 'see `sluice endpoint list`');
}

/** The next hop of the node's default route: the nearest thing beyond NAT. */
export async function defaultGateway(netns: Netns): Promise<Ipv4 | undefined> {
  const netlink = inNetns(netns, () => openNetlink(NETLINK_ROUTE));
  try {
    return (await listRoutes(netlink)).find(({ to }) => to === 'default')?.via;
  } finally {
    netlink.close();
  }
}
