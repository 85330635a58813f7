/** What the server knows and every node follows: settings, tenants, nodes and the namespace map. */
import * as z from 'zod';
import { Cidr, Ipv4 } from './addresses.ts';
import { NamespaceName, NodeName, TenantName, TenantTag } from './names.ts';

/** Fixed when the cluster is made: changing a pool would renumber every container. */
export const ClusterSettings = z.strictObject({
  internalPool: Cidr,
  externalPool: Cidr,
  /** Prefix length of one node's block, on both sides. */
  blockPrefix: z.int().min(16).max(29),
});
export type ClusterSettings = z.infer<typeof ClusterSettings>;

export const Tenant = z.strictObject({
  tenant: TenantName,
  tag: TenantTag,
  /** Unix time in ms. */
  createdAt: z.number(),
});
export type Tenant = z.infer<typeof Tenant>;

export const ClusterNode = z.strictObject({
  node: NodeName,
  /** Address of the node's uplink: the next hop towards its internal block. */
  uplinkAddress: Ipv4,
  internalBlock: Cidr,
  externalBlock: Cidr,
  /** Unix time in ms. */
  joinedAt: z.number(),
});
export type ClusterNode = z.infer<typeof ClusterNode>;

/** Containers of this Kubernetes namespace belong to this tenant. */
export const NamespaceMapping = z.strictObject({ namespace: NamespaceName, tenant: TenantName });
export type NamespaceMapping = z.infer<typeof NamespaceMapping>;

/** Everything a node follows, as one immutable picture. */
export interface ClusterView {
  readonly revision: number;
  readonly settings: ClusterSettings;
  readonly tenants: ReadonlyMap<TenantName, Tenant>;
  readonly nodes: ReadonlyMap<NodeName, ClusterNode>;
  readonly namespaces: ReadonlyMap<NamespaceName, TenantName>;
}
