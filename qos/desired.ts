/** What a node's limits are to be: for each container and each tenant, by the one algebra. Decides, and touches nothing. */
import {
  type Base,
  type BaseOrigin,
  baseOf,
  type Effective,
  type EffectiveValue,
  effective,
  switchesOf,
} from '../model/effective-limits.ts';
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
  VOLUME_FIELDS,
  type VolumeField,
} from '../model/limits.ts';
import type { VolumeRates } from '../model/mount-limits.ts';
import type { IfName, NodeName, TenantName } from '../model/names.ts';
import type { LimitDefaults, TenantPlan } from '../model/plan.ts';
import type { Switch, SwitchId } from '../model/switch.ts';
import { chooses, choosesShare } from '../model/switch-scope.ts';
import type { MountId, VolumeId } from '../model/volume.ts';
import type { CgroupLimits, NodeRates, PortRates, TenantRates } from './contract.ts';
import { isLimit } from './same.ts';

/** A mount of a shared volume, as far as limits are concerned. */
export interface KnownMount {
  readonly id: MountId;
  readonly volume: VolumeId;
  /** What was asked for it alone. */
  readonly own: Limits;
  /** What its volume says of each of its mounts. */
  readonly ofVolume: Limits;
}

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
  /** Of several attachments of one container, one holds what its cgroup has, and its mounts. */
  readonly holdsCgroup: boolean;
  readonly mounts: readonly KnownMount[];
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
  readonly mounts: readonly DesiredMount[];
}

export interface DesiredMount {
  readonly known: KnownMount;
  readonly effective: Effective<VolumeField>;
  /** Where its base is from. */
  readonly origin: Readonly<Record<VolumeField, MountOrigin>>;
  readonly rates: VolumeRates;
}

/** `mount`: it was said of the mount alone; `volume`: of each mount of the volume. */
export type MountOrigin = BaseOrigin | 'mount' | 'volume';

export interface DesiredShare {
  readonly tenant: TenantName;
  readonly effective: Partial<Effective<LimitField>>;
  /** Those with a limit. */
  readonly rates: readonly TenantRates[];
  /** Of all its mounts here; undefined: it has none. */
  readonly volumes: VolumeRates | undefined;
}

export interface Desired {
  readonly containers: readonly DesiredContainer[];
  /** Those that have mounts and no network of ours, or not yet. */
  readonly strangers: readonly DesiredContainer[];
  readonly shares: readonly DesiredShare[];
}

const SHARE_FIELDS = LIMIT_FIELDS.filter(isTenantField);
const CONTAINER_FIELDS = LIMIT_FIELDS.filter((field) => !isTenantField(field));

/** Of all tenants that have containers here, on the sides where they have them. */
export function desiredShares(containers: readonly KnownContainer[], node: NodeLimits): DesiredShare[] {
  const tenants = new Map<TenantName, Present>();
  for (const { subject, ports, mounts } of containers) {
    const present = tenants.get(subject.tenant) ?? { sides: new Set(), mounts: false };
    tenants.set(subject.tenant, present);
    for (const { side } of ports) present.sides.add(side);
    present.mounts ||= mounts.length > 0;
  }
  return [...tenants].map(([tenant, present]) => desiredShare(tenant, present, node));
}

/** Where a tenant has anything that its share can hold. */
interface Present {
  readonly sides: Set<Side>;
  mounts: boolean;
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
  const mounts = container.mounts.map((mount) => desiredMount(mount, layers, switches));
  return {
    ...{ key, subject, mounts },
    effective: { ...all, ...tightest(mounts) },
    cgroup: container.holdsCgroup ? cgroupOf(all, container.captured) : {},
    mayKill: mayKill(all, switches),
    ports: container.ports.map((port) => portRates(port, subject.tenant, all)).filter(isLimited),
  };
}

/** What was said for the container alone is stronger than what was said for the mount, and that than the volume's. */
function desiredMount(known: KnownMount, layers: BaseLayers, switches: readonly Switch[]): DesiredMount {
  const base = baseOf({ ...layers, app: { ...known.ofVolume, ...known.own, ...layers.app } });
  const all = effective({ base, switches, fields: VOLUME_FIELDS });
  const origin = (field: VolumeField): MountOrigin => {
    if (all[field].source !== 'app' || layers.app[field] !== undefined) return all[field].source;
    return known.own[field] === undefined ? 'volume' : 'mount';
  };
  return {
    ...{ known, effective: all, rates: ratesBy((field) => all[field].value) },
    origin: Object.fromEntries(
      VOLUME_FIELDS.map((field) => [field, origin(field)]),
    ) as DesiredMount['origin'],
  };
}

/**
 * What is said of a container whose mounts differ: that of the mount with the lowest base, which no switch turns into
 * more than another's. Without mounts it is what one would have.
 */
function tightest(mounts: readonly DesiredMount[]): Partial<Effective<VolumeField>> {
  const lower = (a: EffectiveValue, b: EffectiveValue): EffectiveValue =>
    (asRate(b.base) ?? Number.POSITIVE_INFINITY) < (asRate(a.base) ?? Number.POSITIVE_INFINITY) ? b : a;
  return Object.fromEntries(
    VOLUME_FIELDS.flatMap((field) => {
      const [first, ...rest] = mounts.map((one) => one.effective[field]);
      return first === undefined ? [] : [[field, rest.reduce(lower, first)]];
    }),
  );
}

function ratesBy(limitOf: (field: VolumeField) => LimitValue): VolumeRates {
  const rates = VOLUME_FIELDS.map((field) => [field, asRate(limitOf(field))] as const);
  return Object.fromEntries(rates) as VolumeRates;
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

function desiredShare(tenant: TenantName, present: Present, node: NodeLimits): DesiredShare {
  const plan = node.plans.get(tenant);
  const none = { app: {}, runtime: {}, cluster: {} };
  const base: Base = baseOf({ ...none, plan: plan?.share ?? {} });
  const share = { tenant, node: node.node, zone: node.zone };
  const switches = node.open.filter((one) => choosesShare(one, share));
  const all = effective({ base, switches, fields: SHARE_FIELDS }) as Effective<LimitField>;
  const rates = [...present.sides].map((side): TenantRates => {
    const rate = (direction: 'in' | 'out'): number | null =>
      asRate(all[`tenant.net.${side}.${direction}`].value);
    return { tenant, side, in: rate('in'), out: rate('out'), borrow: plan?.borrow ?? false };
  });
  const volumes = present.mounts ? ratesBy((field) => all[`tenant.${field}`].value) : undefined;
  return { tenant, effective: all, rates: rates.filter(isLimited), volumes };
}

function isLimited(rates: { readonly in: number | null; readonly out: number | null }): boolean {
  return rates.in !== null || rates.out !== null;
}

function asRate(value: LimitValue): number | null {
  return typeof value === 'number' ? value : null;
}
