/** What a set of switches makes of the containers that nodes have told of, and what the nodes lack for it. Pure. */
import { type Base, effective } from '../../model/effective-limits.ts';
import {
  type Capacity,
  isTenantField,
  LIMIT_FIELDS,
  type LimitField,
  type Limits,
  type LimitValue,
  RATE_FIELDS,
} from '../../model/limits.ts';
import type { ContainerLimits, TenantShare } from '../../model/limits-report.ts';
import type { NodeName, TenantName } from '../../model/names.ts';
import type { Switch } from '../../model/switch.ts';
import type { CapacityLack, PlannedField } from '../../model/switch-request.ts';
import { chooses, choosesShare, type ShareSubject } from '../../model/switch-scope.ts';
import { isOpenAt, windowAt } from '../../model/switch-windows.ts';
import type { NodeLimits } from './limit-reports.ts';

export interface Forecast {
  readonly container: ContainerLimits;
  readonly node: NodeLimits;
  readonly fields: readonly PlannedField[];
}

export interface ShareForecast {
  readonly share: TenantShare;
  readonly node: NodeLimits;
  readonly fields: readonly PlannedField[];
}

/** Those that are open at that time, Unix ms. */
export function openAt(switches: readonly Switch[], at: number): Switch[] {
  return switches.filter((one) => isOpenAt(one, at));
}

/** Of the containers that `one` chooses: its fields, as they are and as `open` would make them. */
export function forecast(one: Switch, nodes: readonly NodeLimits[], open: readonly Switch[]): Forecast[] {
  const fields = LIMIT_FIELDS.filter((field) => one.changes[field] !== undefined && !isTenantField(field));
  if (fields.length === 0) return [];
  return nodes.flatMap((node) =>
    [...node.containers.values()]
      .filter(({ subject }) => chooses(one, subject))
      .map((container) => {
        const own = open.filter((other) => chooses(other, container.subject));
        return { container, node, fields: planned(one, container, fields, own, node.capacity) };
      }),
  );
}

/** The same of tenants' shares of nodes. @param zones  of nodes that have one */
export function forecastShares(
  one: Switch,
  nodes: readonly NodeLimits[],
  open: readonly Switch[],
  zones: ReadonlyMap<NodeName, string | null>,
): ShareForecast[] {
  const fields = LIMIT_FIELDS.filter((field) => one.changes[field] !== undefined && isTenantField(field));
  if (fields.length === 0) return [];
  return nodes.flatMap((node) =>
    [...node.shares.values()]
      .map((share) => ({ share, subject: shareSubject(share.tenant, node.node, zones) }))
      .filter(({ subject }) => choosesShare(one, subject))
      .map(({ share, subject }) => {
        const own = open.filter((other) => choosesShare(other, subject));
        return { share, node, fields: planned(one, share, fields, own, node.capacity) };
      }),
  );
}

export function shareSubject(
  tenant: TenantName,
  node: NodeName,
  zones: ReadonlyMap<NodeName, string | null>,
): ShareSubject {
  return { tenant, node, zone: zones.get(node) ?? null };
}

function planned(
  one: Switch,
  reported: { readonly base: Limits; readonly effective: Limits },
  fields: readonly LimitField[],
  open: readonly Switch[],
  capacity: Capacity,
): PlannedField[] {
  const becomes = effective({ base: baseOf(reported.base, fields), switches: open, fields, capacity });
  return fields.map((field) => {
    const base = reported.base[field] ?? null;
    // null is a value: lifted.
    const now = reported.effective[field];
    return {
      field,
      base,
      now: now === undefined ? base : now,
      becomes: becomes[field].value,
      others: becomes[field].steps.map((step) => step.switch).filter((id) => id !== one.id),
    };
  });
}

/** Of the fields that are asked for; where they are from does not matter here. */
function baseOf(values: Limits, fields: readonly LimitField[]): Base {
  const pairs = fields.map((field) => [field, { value: values[field] ?? null, source: 'none' }]);
  return Object.fromEntries(pairs) as Base;
}

/** What counts against what a node has. A limit is what a container may be given; without one it takes what is left. */
export const DEMANDS = {
  cpu: [['cpu']],
  memory: [['memory']],
  // Each direction of the uplink has all of it. Internal traffic may stay on the node, and counts for nothing.
  uplink: [['net.external.in'], ['net.external.out']],
} as const satisfies Record<keyof Capacity, readonly (readonly [LimitField])[]>;

/** Of one tenant's containers together; a share holds them down. */
export function demandOf(
  field: LimitField,
  tenant: TenantName,
  node: NodeLimits,
  open: readonly Switch[],
  zones: ReadonlyMap<NodeName, string | null>,
): { readonly limits: number; readonly demand: number } {
  let limits = 0;
  const counted = new Set<string>();
  for (const { subject, base } of node.containers.values()) {
    // Of several attachments of one container each has its own rates, and all have the one cgroup.
    const whose = isRate(field) ? `${subject.containerId}/${subject.ifName}` : subject.containerId;
    if (subject.tenant !== tenant || counted.has(whose)) continue;
    counted.add(whose);
    const own = open.filter((one) => one.changes[field] !== undefined && chooses(one, subject));
    // Not capped: what is asked for is what counts.
    limits +=
      numberOf(effective({ base: baseOf(base, [field]), switches: own, fields: [field] })[field].value) ?? 0;
  }
  const shareField = LIMIT_FIELDS.find((one) => one === `tenant.${field}`);
  const share = shareField === undefined ? undefined : node.shares.get(tenant);
  if (share === undefined || shareField === undefined) return { limits, demand: limits };
  const subject = shareSubject(tenant, node.node, zones);
  const own = open.filter((one) => one.changes[shareField] !== undefined && choosesShare(one, subject));
  const most = effective({ base: baseOf(share.base, [shareField]), switches: own, fields: [shareField] })[
    shareField
  ].value;
  return { limits, demand: Math.min(limits, numberOf(most) ?? limits) };
}

export function tenantsOf({ containers }: NodeLimits): TenantName[] {
  return [...new Set([...containers.values()].map(({ subject }) => subject.tenant))].sort();
}

function isRate(field: LimitField): boolean {
  return RATE_FIELDS.some((rate) => rate === field);
}

function numberOf(value: LimitValue): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

/**
 * What nodes lack with these switches that they do not lack without them: what was promised too often before is no
 * reason to refuse a switch that does not make it worse.
 *
 * @param before  open without the new ones
 * @param after  open with them
 */
export function lacksOf(
  nodes: readonly NodeLimits[],
  before: readonly Switch[],
  after: readonly Switch[],
  zones: ReadonlyMap<NodeName, string | null>,
): CapacityLack[] {
  return nodes.flatMap((node) => {
    const tenants = tenantsOf(node);
    const total = (field: LimitField, open: readonly Switch[]): number =>
      tenants.reduce((sum, tenant) => sum + demandOf(field, tenant, node, open, zones).demand, 0);
    return (Object.keys(DEMANDS) as (keyof Capacity)[]).flatMap((of): CapacityLack[] => {
      const has = node.capacity[of];
      if (has === null) return [];
      const fields = DEMANDS[of].map(([field]) => field).filter((field) => touched(field, before, after));
      const over = fields
        .map((field) => ({ was: total(field, before), wanted: total(field, after) }))
        .filter(({ was, wanted }) => wanted > has * SLACK && wanted > was * SLACK);
      const wanted = Math.max(...over.map((one) => one.wanted));
      return over.length === 0 ? [] : [{ node: node.node, of, has, wanted }];
    });
  });
}

/** Sums of fractions are not exact. */
const SLACK = 1 + 1e-9;

/** A field of which nothing new is said cannot lack anything new. */
function touched(field: LimitField, before: readonly Switch[], after: readonly Switch[]): boolean {
  const names = (one: Switch): boolean =>
    one.changes[field] !== undefined ||
    LIMIT_FIELDS.some((other) => other === `tenant.${field}` && one.changes[other] !== undefined);
  return after.some((one) => !before.includes(one) && names(one));
}

/** So many beginnings of others are looked at, inside one window. */
const MOST_MOMENTS = 32;

/** When something new comes together: at the switch's own opening, and whenever another one opens meanwhile. */
export function moments(one: Switch, others: readonly Switch[], now: number): number[] {
  const own = openingOf(one, now);
  if (own === undefined) return [];
  const later = others.flatMap((other) => {
    const next = windowAt(other, own.at);
    return next.state !== 'over' && next.state !== 'open' && next.from < own.until ? [next.from] : [];
  });
  return [...new Set([own.at, ...later])].sort((a, b) => a - b).slice(0, MOST_MOMENTS);
}

/** Its present window, or else its next one. */
export function openingOf(one: Switch, now: number): { at: number; until: number } | undefined {
  // What nobody has agreed to yet is looked at as if somebody had.
  const window = windowAt({ ...one, approval: null }, now);
  return window.state === 'over' ? undefined : { at: Math.max(now, window.from), until: window.until };
}
