/** What a node's limits are to be: for each container and each tenant, by the one algebra. Decides, and touches nothing. */
import { type Base, baseOf, type Effective, effective, switchesOf } from '../model/effective-limits.ts';
import type { Side } from '../model/endpoint.ts';
import {
  type BaseLayers,
  type Capacity,
  CGROUP_FIELDS,
  type CgroupField,
  isTenantField,
  LIMIT_FIELDS,
  type LimitField,
  type Limits,
  type LimitValue,
  type RateField,
  type Subject,
} from '../model/limits.ts';
import type { IfName, NodeName, TenantName } from '../model/names.ts';
import type { LimitDefaults, TenantPlan } from '../model/plan.ts';
import type { Switch, SwitchId } from '../model/switch.ts';
import { chooses, choosesShare } from '../model/switch-scope.ts';
import type { CgroupLimits, NodeRates, PortRates, TenantRates } from './contract.ts';
import { isLimit } from './same.ts';

/** One attachment of a container, as far as limits are concerned. */
export interface KnownContainer {
  /** `containerId/ifName`. */
  readonly key: string;
  readonly subject: Subject;
  readonly ports: readonly { readonly hostIf: IfName; readonly side: Side }[];
  /** What its app or an operator has said for it alone. */
  readonly app: Limits;
  /** What the kernel had in its cgroup before our first write; undefined: not seen yet. */
  readonly captured: CgroupLimits | undefined;
  /** Of several attachments of one container, one holds what its cgroup has. */
  readonly holdsCgroup: boolean;
}

/** What holds for all containers of a node. */
export interface NodeLimits {
  readonly node: NodeName;
  readonly zone: string | null;
  readonly plans: ReadonlyMap<TenantName, TenantPlan>;
  readonly defaults: LimitDefaults;
  /** Those that are open on this node now. */
  readonly open: readonly Switch[];
  readonly capacity: Capacity;
}

export interface DesiredContainer {
  readonly key: string;
  readonly subject: Subject;
  readonly effective: Effective<LimitField>;
  /** What its cgroup is to hold; a field that is absent is not ours to touch. */
  readonly cgroup: CgroupLimits;
  readonly mayKill: boolean;
  /** Those with a limit. */
  readonly ports: readonly PortRates[];
}

export interface DesiredShare {
  readonly tenant: TenantName;
  readonly effective: Partial<Effective<LimitField>>;
  /** Those with a limit. */
  readonly rates: readonly TenantRates[];
}

export interface Desired {
  readonly containers: readonly DesiredContainer[];
  readonly shares: readonly DesiredShare[];
}

const SHARE_FIELDS = LIMIT_FIELDS.filter(isTenantField);
const CONTAINER_FIELDS = LIMIT_FIELDS.filter((field) => !isTenantField(field));

/** Of all tenants that have containers here, on the sides where they have them. */
export function desiredShares(containers: readonly KnownContainer[], node: NodeLimits): DesiredShare[] {
  const sides = new Map<TenantName, Set<Side>>();
  for (const { subject, ports } of containers) {
    const present = sides.get(subject.tenant) ?? new Set<Side>();
    sides.set(subject.tenant, present);
    for (const { side } of ports) present.add(side);
  }
  return [...sides].map(([tenant, present]) => desiredShare(tenant, [...present], node));
}

export function ratesOf({ containers, shares }: Desired): NodeRates {
  return {
    ports: containers.flatMap(({ ports }) => ports),
    tenants: shares.flatMap(({ rates }) => rates),
  };
}

type Values = Partial<Record<LimitField, LimitValue>>;

/** Values by which people and the server know it; fields that nobody names are left out. */
export function named(all: Partial<Effective<LimitField>>): {
  readonly base: Values;
  readonly effective: Values;
  readonly switches: SwitchId[];
} {
  const some = Object.fromEntries(
    Object.entries(all).filter(([, one]) => one.source !== 'none' || one.steps.length > 0),
  ) as Partial<Effective<LimitField>>;
  const values = (of: 'base' | 'value'): Values =>
    Object.fromEntries(Object.entries(some).map(([field, one]) => [field, one[of]]));
  return { base: values('base'), effective: values('value'), switches: switchesOf(some) };
}

/** What was in the kernel counts as a base where it limits something. */
export function runtimeLayer(captured: CgroupLimits | undefined): Limits {
  const limits = Object.entries(captured ?? {}) as [CgroupField, LimitValue][];
  return Object.fromEntries(limits.filter(([field, value]) => isLimit(field, value)));
}

export function desiredContainer(container: KnownContainer, node: NodeLimits): DesiredContainer {
  const { key, subject } = container;
  const layers: BaseLayers = {
    app: container.app,
    runtime: runtimeLayer(container.captured),
    plan: node.plans.get(subject.tenant)?.container ?? {},
    cluster: node.defaults.container,
  };
  const switches = node.open.filter((one) => chooses(one, subject));
  const all = effective({
    base: baseOf(layers),
    switches,
    fields: CONTAINER_FIELDS,
    capacity: node.capacity,
  }) as Effective<LimitField>;
  return {
    key,
    subject,
    effective: all,
    cgroup: container.holdsCgroup ? cgroupOf(all, container.captured) : {},
    mayKill: mayKill(all, switches),
    ports: container.ports.map((port) => portRates(port, subject.tenant, all)).filter(isLimited),
  };
}

/** A field that nobody names goes back to just what it was. */
function cgroupOf(all: Effective<LimitField>, captured: CgroupLimits | undefined): CgroupLimits {
  const wanted: Partial<Record<CgroupField, LimitValue>> = {};
  for (const field of CGROUP_FIELDS) {
    const { value, source, steps } = all[field];
    if (source !== 'none' || steps.length > 0) wanted[field] = value;
    else if (captured?.[field] !== undefined) wanted[field] = captured[field];
  }
  return wanted;
}

/** Whoever has the last word on memory answers for kills. */
function mayKill(all: Effective<LimitField>, switches: readonly Switch[]): boolean {
  const last = all.memory.steps.at(-1)?.switch;
  return switches.some(({ id, mayKill: may }) => id === last && may);
}

function portRates(
  { hostIf, side }: KnownContainer['ports'][number],
  tenant: TenantName,
  all: Effective<LimitField>,
): PortRates {
  const rate = (direction: 'in' | 'out'): number | null =>
    asRate(all[`net.${side}.${direction}` satisfies RateField].value);
  return { hostIf, side, tenant, in: rate('in'), out: rate('out') };
}

function desiredShare(tenant: TenantName, sides: readonly Side[], node: NodeLimits): DesiredShare {
  const plan = node.plans.get(tenant);
  const none = { app: {}, runtime: {}, cluster: {} };
  const base: Base = baseOf({ ...none, plan: plan?.share ?? {} });
  const share = { tenant, node: node.node, zone: node.zone };
  const switches = node.open.filter((one) => choosesShare(one, share));
  const all = effective({ base, switches, fields: SHARE_FIELDS }) as Effective<LimitField>;
  const rates = sides.map((side): TenantRates => {
    const rate = (direction: 'in' | 'out'): number | null =>
      asRate(all[`tenant.net.${side}.${direction}`].value);
    return { tenant, side, in: rate('in'), out: rate('out'), borrow: plan?.borrow ?? false };
  });
  return { tenant, effective: all, rates: rates.filter(isLimited) };
}

function isLimited(rates: { readonly in: number | null; readonly out: number | null }): boolean {
  return rates.in !== null || rates.out !== null;
}

function asRate(value: LimitValue): number | null {
  return typeof value === 'number' ? value : null;
}
