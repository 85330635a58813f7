/** What the server knows and every node follows: settings, tenants, nodes and the namespace map. */
import * as z from 'zod';
import { Cidr, Ipv4, Pool6 } from './addresses.ts';
import { Carrier } from './carrier.ts';
import type { GuardRules } from './guard.ts';
import { Labels, ZoneName } from './limits.ts';
import { NamespaceName, NodeName, TenantName, TenantTag } from './names.ts';
import type { LimitDefaults, TenantPlan } from './plan.ts';
import type { Switch, SwitchId } from './switch.ts';
import type { Volume, VolumeId } from './volume.ts';

/** What an operator may ask for; `auto` leaves it to the nodes' uplinks. */
export const CarrierChoice = z.enum(['auto', ...Carrier.options]);
export type CarrierChoice = z.infer<typeof CarrierChoice>;

/** Fixed when the cluster is made: changing a pool would renumber every container. */
export const ClusterPools = z.strictObject({
  internalPool: Cidr,
  externalPool: Cidr,
  /** Without it containers have no internal IPv6 addresses. */
  internalPool6: Pool6.optional(),
  /** Prefix length of one node's block, on both sides. */
  blockPrefix: z.int().min(16).max(29),
});
export type ClusterPools = z.infer<typeof ClusterPools>;

export const ClusterSettings = z.strictObject({
  ...ClusterPools.shape,
  /** What nodes send; it may be changed at any time. */
  carrier: CarrierChoice.default('auto'),
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
  /** Whether the uplink is a network card, which merges packets only when their headers are plain. */
  nic: z.boolean().default(false),
  /** Where it stands: a room, a rack, whatever fails together. Switches choose by it, and by labels. */
  zone: ZoneName.nullable().default(null),
  labels: Labels.default({}),
  /** Shut out by an operator: it gets no keys, and no other node sends to it. */
  fenced: z.boolean().default(false),
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
  /** What tenants may do on the internet side; those without an entry may do anything. */
  readonly guards: ReadonlyMap<TenantName, GuardRules>;
  /** What tenants have bought; those without an entry have what `defaults` says. */
  readonly plans: ReadonlyMap<TenantName, TenantPlan>;
  readonly defaults: LimitDefaults;
  /** Those that are open, or will be. */
  readonly switches: ReadonlyMap<SwitchId, Switch>;
  readonly volumes: ReadonlyMap<VolumeId, Volume>;
}

/** What the nodes of a cluster send: with one network card among them, the carrier that cards handle well. */
export function effectiveCarrier({ settings, nodes }: Pick<ClusterView, 'settings' | 'nodes'>): Carrier {
  if (settings.carrier !== 'auto') return settings.carrier;
  return [...nodes.values()].some(({ nic }) => nic) ? 'vxlan' : 'option';
}
