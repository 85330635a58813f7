/** How a cluster is told to its nodes, line by line, and how the lines become one picture again. */
import * as z from 'zod';
import { ClusterNode, ClusterSettings, type ClusterView, NamespaceMapping, Tenant } from './cluster.ts';
import { GuardRules } from './guard.ts';
import { LimitDefaults, NO_DEFAULTS, TenantPlan } from './plan.ts';
import { Probe, type ProbeId } from './probe.ts';
import { Switch } from './switch.ts';
import { Volume } from './volume.ts';

export const ClusterSnapshot = z.strictObject({
  settings: ClusterSettings,
  tenants: z.array(Tenant),
  nodes: z.array(ClusterNode),
  namespaces: z.array(NamespaceMapping),
  /** Absent in what an earlier version remembered. */
  guards: z.array(GuardRules).default([]),
  plans: z.array(TenantPlan).default([]),
  limits: LimitDefaults.default(NO_DEFAULTS),
  switches: z.array(Switch).default([]),
  volumes: z.array(Volume).default([]),
  /** Only those of the node that reads. */
  probes: z.array(Probe),
});
export type ClusterSnapshot = z.infer<typeof ClusterSnapshot>;

const revision = z.int().min(0);

const ClusterPut = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('settings'), value: ClusterSettings }),
  z.strictObject({ kind: z.literal('tenant'), value: Tenant }),
  z.strictObject({ kind: z.literal('node'), value: ClusterNode }),
  z.strictObject({ kind: z.literal('namespace'), value: NamespaceMapping }),
  z.strictObject({ kind: z.literal('probe'), value: Probe }),
  z.strictObject({ kind: z.literal('guard'), value: GuardRules }),
  z.strictObject({ kind: z.literal('plan'), value: TenantPlan }),
  z.strictObject({ kind: z.literal('limits'), value: LimitDefaults }),
  z.strictObject({ kind: z.literal('switch'), value: Switch }),
  z.strictObject({ kind: z.literal('volume'), value: Volume }),
]);
export type ClusterPut = z.infer<typeof ClusterPut>;

const ClusterDelete = z.strictObject({
  kind: z.enum(['tenant', 'node', 'namespace', 'probe', 'guard', 'plan', 'switch', 'volume']),
  name: z.string(),
});
export type ClusterDelete = z.infer<typeof ClusterDelete>;

/** One line of GET /v1/cluster?watch=1. Those without news prove that the connection lives. */
export const ClusterLine = z.union([
  z.strictObject({ revision, snapshot: ClusterSnapshot }),
  z.strictObject({ revision, put: ClusterPut }),
  z.strictObject({ revision, delete: ClusterDelete }),
  z.strictObject({ heartbeat: revision }),
]);
export type ClusterLine = z.infer<typeof ClusterLine>;

/** The cluster as one node follows it. */
export interface NodeView extends ClusterView {
  /** Probes which this node is asked to put up. */
  readonly probes: ReadonlyMap<ProbeId, Probe>;
}

export function viewOf(at: number, snapshot: ClusterSnapshot): NodeView {
  return {
    revision: at,
    settings: snapshot.settings,
    tenants: new Map(snapshot.tenants.map((tenant) => [tenant.tenant, tenant])),
    nodes: new Map(snapshot.nodes.map((node) => [node.node, node])),
    namespaces: new Map(snapshot.namespaces.map(({ namespace, tenant }) => [namespace, tenant])),
    guards: new Map(snapshot.guards.map((guard) => [guard.tenant, guard])),
    plans: new Map(snapshot.plans.map((plan) => [plan.tenant, plan])),
    defaults: snapshot.limits,
    switches: new Map(snapshot.switches.map((one) => [one.id, one])),
    volumes: new Map(snapshot.volumes.map((one) => [one.id, one])),
    probes: new Map(snapshot.probes.map((probe) => [probe.id, probe])),
  };
}

export function snapshotOf(view: NodeView): ClusterSnapshot {
  return {
    settings: view.settings,
    tenants: [...view.tenants.values()],
    nodes: [...view.nodes.values()],
    namespaces: [...view.namespaces].map(([namespace, tenant]) => ({ namespace, tenant })),
    guards: [...view.guards.values()],
    plans: [...view.plans.values()],
    limits: view.defaults,
    switches: [...view.switches.values()],
    volumes: [...view.volumes.values()],
    probes: [...view.probes.values()],
  };
}

/** @returns the next picture; the given one is left as it is, and parts without news are shared. */
export function foldLine(view: NodeView | undefined, line: ClusterLine): NodeView | undefined {
  if ('snapshot' in line) return viewOf(line.revision, line.snapshot);
  if (view === undefined || 'heartbeat' in line) return view;
  if ('put' in line) return withPut({ ...view, revision: line.revision }, line.put);
  return withDelete({ ...view, revision: line.revision }, line.delete);
}

function withPut(view: NodeView, put: ClusterPut): NodeView {
  switch (put.kind) {
    case 'settings':
      return { ...view, settings: put.value };
    case 'tenant':
      return { ...view, tenants: new Map(view.tenants).set(put.value.tenant, put.value) };
    case 'node':
      return { ...view, nodes: new Map(view.nodes).set(put.value.node, put.value) };
    case 'namespace':
      return { ...view, namespaces: new Map(view.namespaces).set(put.value.namespace, put.value.tenant) };
    case 'probe':
      return { ...view, probes: new Map(view.probes).set(put.value.id, put.value) };
    case 'guard':
      return { ...view, guards: new Map(view.guards).set(put.value.tenant, put.value) };
    case 'plan':
      return { ...view, plans: new Map(view.plans).set(put.value.tenant, put.value) };
    case 'limits':
      return { ...view, defaults: put.value };
    case 'switch':
      return { ...view, switches: new Map(view.switches).set(put.value.id, put.value) };
    case 'volume':
      return { ...view, volumes: new Map(view.volumes).set(put.value.id, put.value) };
  }
}

function withDelete(view: NodeView, { kind, name }: ClusterDelete): NodeView {
  switch (kind) {
    case 'tenant':
      return { ...view, tenants: without(view.tenants, name) };
    case 'node':
      return { ...view, nodes: without(view.nodes, name) };
    case 'namespace':
      return { ...view, namespaces: without(view.namespaces, name) };
    case 'probe':
      return { ...view, probes: without(view.probes, name) };
    case 'guard':
      return { ...view, guards: without(view.guards, name) };
    case 'plan':
      return { ...view, plans: without(view.plans, name) };
    case 'switch':
      return { ...view, switches: without(view.switches, name) };
    case 'volume':
      return { ...view, volumes: without(view.volumes, name) };
  }
}

function without<K extends string, V>(map: ReadonlyMap<K, V>, name: string): ReadonlyMap<K, V> {
  return new Map([...map].filter(([key]) => key !== name));
}
