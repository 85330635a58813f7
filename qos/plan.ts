/**
 * What has to be written so that the kernel holds the limits that are wanted. Pure: (desired, observed) → actions. A
 * container whose values are right is left alone, and so is every field that is not named.
 */
import { type CgroupField, type LimitValue, VOLUME_FIELDS, type VolumeField } from '../model/limits.ts';
import type { Shortfall } from '../model/limits-report.ts';
import type { VolumeRates } from '../model/mount-limits.ts';
import type { IfName } from '../model/names.ts';
import type { CgroupLimits, NodeRates, PortRates, Rates, TenantRates } from './contract.ts';
import { type Desired, type DesiredContainer, ratesOf } from './desired.ts';
import { isLimit, sameValue } from './same.ts';

/** What was read of a container's cgroup; undefined: there is none yet. */
export type ObservedCgroups = ReadonlyMap<string, CgroupLimits | undefined>;

/** One container's cgroup: written whole or not at all. */
export interface CgroupAction {
  readonly key: string;
  readonly set: CgroupLimits;
  /** What these fields had, for going back. */
  readonly before: CgroupLimits;
  readonly mayKill: boolean;
}

export interface CgroupPlan {
  readonly actions: readonly CgroupAction[];
  /** What cannot be had on this kernel, or not yet, by container. */
  readonly shortfalls: ReadonlyMap<string, readonly Shortfall[]>;
}

export function planCgroups(desired: Desired, cgroups: ObservedCgroups): CgroupPlan {
  const actions: CgroupAction[] = [];
  const shortfalls = new Map<string, Shortfall[]>();
  for (const container of desired.containers) {
    const kernel = cgroups.get(container.key);
    const missing = missingFields(container, kernel);
    if (missing.length > 0) shortfalls.set(container.key, missing);
    const action = kernel && planCgroup(container, kernel);
    if (action !== undefined) actions.push(action);
  }
  return { actions, shortfalls };
}

/**
 * @param held  ports that keep what the kernel has for them: of containers whose cgroup was refused
 * @returns all of the node's rates at once; undefined: they are as they should be
 */
export function planRates(
  desired: Desired,
  held: ReadonlySet<IfName>,
  kernel: NodeRates,
): NodeRates | undefined {
  const { ports, tenants } = ratesOf(desired);
  const wanted = {
    ports: [
      ...ports.filter(({ hostIf }) => !held.has(hostIf)),
      ...kernel.ports.filter(({ hostIf }) => held.has(hostIf)),
    ],
    tenants,
  };
  return sameRates(wanted, kernel) ? undefined : wanted;
}

/** Fields of the two that differ. */
export function differences(wanted: CgroupLimits, kernel: CgroupLimits): CgroupField[] {
  return (Object.entries(wanted) as [CgroupField, LimitValue][]).flatMap(([field, value]) => {
    const present = kernel[field];
    return present === undefined || sameValue(field, value, present) ? [] : [field];
  });
}

/** Fields of the two that differ; clients hold them to the last byte. */
export function volumeDifferences(wanted: VolumeRates, held: VolumeRates): VolumeField[] {
  return VOLUME_FIELDS.filter((field) => wanted[field] !== held[field]);
}

function sameRates(a: NodeRates, b: NodeRates): boolean {
  return samePorts(a.ports, b.ports) && sameTenants(a.tenants, b.tenants);
}

/** Whether the two say the same of what a container may send and receive. */
export function sameRate(one: Rates | undefined, other: Rates | undefined): boolean {
  const same = (direction: 'in' | 'out'): boolean =>
    sameValue('net.internal.in', one?.[direction] ?? null, other?.[direction] ?? null);
  return same('in') && same('out');
}

function planCgroup(
  { key, cgroup, mayKill }: DesiredContainer,
  kernel: CgroupLimits,
): CgroupAction | undefined {
  const fields = differences(cgroup, kernel);
  if (fields.length === 0) return undefined;
  const pick = (from: CgroupLimits): CgroupLimits =>
    Object.fromEntries(fields.map((field) => [field, from[field]]));
  return { key, set: pick(cgroup), before: pick(kernel), mayKill };
}

function missingFields({ cgroup }: DesiredContainer, kernel: CgroupLimits | undefined): Shortfall[] {
  const why =
    kernel === undefined ? "the container's cgroup has not been found yet" : 'this kernel has no such limit';
  return (Object.entries(cgroup) as [CgroupField, LimitValue][]).flatMap(([field, wanted]) =>
    kernel?.[field] === undefined && isLimit(field, wanted) ? [{ field, wanted, why }] : [],
  );
}

function samePorts(a: readonly PortRates[], b: readonly PortRates[]): boolean {
  return sameBy(a, b, ({ hostIf }) => hostIf, sameRate);
}

function sameTenants(a: readonly TenantRates[], b: readonly TenantRates[]): boolean {
  const same = (one: TenantRates, other: TenantRates): boolean =>
    sameRate(one, other) && one.borrow === other.borrow;
  return sameBy(a, b, ({ tenant, side }) => `${tenant}/${side}`, same);
}

function sameBy<T>(
  a: readonly T[],
  b: readonly T[],
  keyOf: (one: T) => string,
  same: (one: T, other: T) => boolean,
): boolean {
  const others = new Map(b.map((one) => [keyOf(one), one]));
  return (
    a.length === b.length &&
    a.every((one) => {
      const other = others.get(keyOf(one));
      return other !== undefined && same(one, other);
    })
  );
}
