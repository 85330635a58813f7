/** What a node's daemon must know about its node before it can attach anything. */
import { type Cidr, cidrGateway, type Ipv4, type Mac, macOfAddress } from '../model/addresses.ts';
import { CARRIER_ROOM } from '../model/carrier.ts';
import type { ClusterNode, ClusterSettings } from '../model/cluster.ts';
import type { Side } from '../model/endpoint.ts';
import type { IfName, NodeName } from '../model/names.ts';
import { bridgeName, tableName } from './names.ts';

/** One of the node's two bridges. */
export interface Bridge {
  readonly side: Side;
  readonly name: IfName;
  readonly block: Cidr;
  readonly gateway: Ipv4;
  readonly mac: Mac;
  readonly mtu: number;
}

export interface NodeFacts {
  readonly node: NodeName;
  readonly uplink: IfName;
  readonly internalPool: Cidr;
  readonly externalPool: Cidr;
  readonly bridges: Readonly<Record<Side, Bridge>>;
  /** Name of the nftables table. */
  readonly table: string;
}

/** @param uplinkMtu  bytes of the uplink's largest packet */
export function nodeFacts(
  self: Pick<ClusterNode, 'node' | `${Side}Block`>,
  settings: Pick<ClusterSettings, `${Side}Pool`>,
  uplink: IfName,
  uplinkMtu: number,
): NodeFacts {
  const bridge = (side: Side, block: Cidr, mtu: number): Bridge => ({
    side,
    name: bridgeName(self.node, side),
    block,
    gateway: cidrGateway(block),
    mac: macOfAddress(cidrGateway(block)),
    mtu,
  });
  return {
    node: self.node,
    uplink,
    internalPool: settings.internalPool,
    externalPool: settings.externalPool,
    bridges: {
      external: bridge('external', self.externalBlock, uplinkMtu),
      internal: bridge('internal', self.internalBlock, uplinkMtu - CARRIER_ROOM),
    },
    table: tableName(self.node),
  };
}
