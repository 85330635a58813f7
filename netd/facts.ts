/** What a node's daemon must know about its node before it can attach anything. */
import { type Cidr, cidrGateway, type Ipv4, type Mac, macOfAddress, type Pool6 } from '../model/addresses.ts';
import { CARRIER_ROOM } from '../model/carrier.ts';
import type { ClusterNode, ClusterSettings } from '../model/cluster.ts';
import type { Side } from '../model/endpoint.ts';
import { addressesOf, type Egress, type GuardRules } from '../model/guard.ts';
import type { IfName, NodeName, TenantName, TenantTag } from '../model/names.ts';
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
  /** undefined: containers have no internal IPv6 addresses. */
  readonly internalPool6: Pool6 | undefined;
  readonly bridges: Readonly<Record<Side, Bridge>>;
  /** Name of the nftables table. */
  readonly table: string;
  /** Tenants whose new flows to the outside are judged first. */
  readonly guards: ReadonlyMap<TenantName, NodeGuard>;
}

/** What a node's own rules must know of a tenant with guard rules. */
export interface NodeGuard {
  readonly tag: TenantTag;
  /** By which addresses its flows leave this node; undefined: by the node's own. */
  readonly egress: Egress | undefined;
}

/** @param tenants  those that are known, with their tags; rules of others are nobody's */
export function nodeGuards(
  node: NodeName,
  guards: Iterable<GuardRules>,
  tenants: ReadonlyMap<TenantName, { readonly tag: TenantTag }>,
): NodeFacts['guards'] {
  return new Map(
    [...guards].flatMap(({ tenant, egress }) => {
      const tag = tenants.get(tenant)?.tag;
      const own = egress.find((one) => one.node === node);
      return tag === undefined ? [] : [[tenant, { tag, egress: own }] as const];
    }),
  );
}

/** Addresses that the uplink must have for tenants to leave by. */
export function egressAddresses({ guards }: Pick<NodeFacts, 'guards'>): Ipv4[] {
  return [...new Set([...guards.values()].flatMap(({ egress }) => (egress ? addressesOf(egress) : [])))];
}

/** @param uplinkMtu  bytes of the uplink's largest packet */
export function nodeFacts(
  self: Pick<ClusterNode, 'node' | `${Side}Block`>,
  settings: Pick<ClusterSettings, `${Side}Pool` | 'internalPool6'>,
  uplink: IfName,
  uplinkMtu: number,
  guards: NodeFacts['guards'] = new Map(),
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
    internalPool6: settings.internalPool6,
    bridges: {
      external: bridge('external', self.externalBlock, uplinkMtu),
      internal: bridge('internal', self.internalBlock, uplinkMtu - CARRIER_ROOM),
    },
    table: tableName(self.node),
    guards,
  };
}
