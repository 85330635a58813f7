/** What operators ask and say of limits on netd's socket. */
import * as z from 'zod';
import type { ApiRequest, Route } from '../../linux/local-routes.ts';
import { type Endpoint, endpointKey } from '../../model/endpoint.ts';
import { SluiceError } from '../../model/errors.ts';
import {
  isTenantField,
  Labels,
  type LimitField,
  type LimitValue,
  VOLUME_FIELDS,
  type VolumeField,
} from '../../model/limits.ts';
import { FlatLimits, fieldsOf } from '../../model/limits-tree.ts';
import type { CgroupLimits, NodeRates } from '../../qos/contract.ts';
import { isCgroupField } from '../../qos/same.ts';
import type { ContainerPicture, LimitsKeeper, MountPicture } from './keeper.ts';

export interface LimitsRoutesParts {
  readonly keeper: LimitsKeeper;
  /** By id, the beginning of it, or name. @throws SluiceError `not_found` */
  find(request: ApiRequest): readonly Endpoint[];
  /** @throws SluiceError `store_failed` */
  label(endpoint: Endpoint, labels: Labels): Promise<Endpoint>;
  request(): void;
}

const OperatorLimits = z.strictObject({
  limits: FlatLimits.refine(
    (limits) => fieldsOf(limits).every(([field]) => !isTenantField(field)),
    "a tenant's share of a node stands in its plan",
  ),
});
/** null takes a label away. */
const LabelChanges = z.strictObject({
  labels: z.record(z.string(), z.string().nullable()),
});

export function limitsRoutes(parts: LimitsRoutesParts): Route[] {
  const { keeper } = parts;
  return [
    { method: 'GET', path: '/v1/limits', handle: () => ({ json: allLimits(keeper) }) },
    {
      method: 'GET',
      path: '/v1/limits/:container',
      handle: async (request) => ({ json: { limits: await limitsOf(parts, parts.find(request)) } }),
    },
    {
      method: 'PUT',
      path: '/v1/limits/:container',
      handle: async (request) => {
        const { limits } = parsed(OperatorLimits, request.json());
        const found = parts.find(request);
        for (const endpoint of found) await keeper.setOperator(endpoint, limits);
        parts.request();
        return { json: { limits: await limitsOf(parts, found) } };
      },
    },
    {
      method: 'PUT',
      path: '/v1/endpoints/:container/labels',
      handle: async (request) => {
        const { labels } = parsed(LabelChanges, request.json());
        const found = parts.find(request);
        const changed = await Promise.all(found.map((one) => parts.label(one, changedLabels(one, labels))));
        parts.request();
        return { json: { endpoints: changed } };
      },
    },
  ];
}

function changedLabels(endpoint: Endpoint, changes: Readonly<Record<string, string | null>>): Labels {
  const all: Record<string, string | null> = { ...endpoint.labels, ...changes };
  return parsed(Labels, Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null)));
}

function allLimits(keeper: LimitsKeeper): object {
  const { open, left } = keeper.openNow();
  const rates = keeper.rates.held();
  return {
    switches: open.map(({ id, name, until }) => ({ id, name, until, leftMs: left.get(id) })),
    containers: keeper.pictures().map((one) => shown(keeper, one, one.cgroup.held, rates)),
    tenants: keeper.shares().map((one) => ({ ...one, events: keeper.eventsOfShare(one.tenant) })),
    strangers: keeper.strangers().map(({ desired, mounts }) => ({
      subject: desired.subject,
      mounts: mounts.map((one) => shownMount(keeper, one)),
    })),
  };
}

/** The kernel's values are read now. */
async function limitsOf({ keeper }: LimitsRoutesParts, endpoints: readonly Endpoint[]): Promise<object[]> {
  const keys = new Set(endpoints.map(endpointKey));
  const pictures = keeper.pictures().filter(({ desired }) => keys.has(desired.key));
  const rates = await keeper.rates.read();
  return Promise.all(
    pictures.map(async (one) => shown(keeper, one, await keeper.readCgroup(one.desired.key), rates)),
  );
}

function shown(
  keeper: LimitsKeeper,
  { endpoint, desired, shortfalls, events, cgroup, mounts }: ContainerPicture,
  held: CgroupLimits | undefined,
  rates: NodeRates,
): object {
  const fields = (Object.keys(desired.effective) as LimitField[]).map((field) => {
    const { base, source, steps, value } = desired.effective[field];
    const present = isVolumeField(field)
      ? heldByMounts(mounts, field)
      : kernelValue(endpoint, field, held, rates);
    return {
      field,
      base,
      source,
      steps,
      effective: value,
      ...(present !== undefined && { kernel: present }),
    };
  });
  const { group, statistics } = cgroup;
  return {
    operator: keeper.operatorOf(endpoint),
    ...{ subject: desired.subject, fields, shortfalls, events },
    cgroup: group === undefined ? null : { version: group.version, paths: Object.fromEntries(group.paths) },
    statistics: statistics ?? null,
    mounts: mounts.map((one) => shownMount(keeper, one)),
  };
}

function shownMount({ volumes }: LimitsKeeper, { mount, name, desired, state }: MountPicture): object {
  const { id, volume, directory, state: health } = mount;
  const fields = VOLUME_FIELDS.map((field) => {
    const { base, steps, value } = desired.effective[field];
    const held = state.held?.[field];
    return {
      ...{ field, base, steps, source: desired.origin[field], effective: value },
      ...(held !== undefined && { kernel: held }),
    };
  });
  return {
    ...{ id, volume, name, directory, state: health, fields, shortfalls: state.shortfalls },
    ...{ readAt: state.readAt, unread: volumes.isUnread() || state.held === null },
  };
}

function isVolumeField(field: LimitField): field is VolumeField {
  return (VOLUME_FIELDS as readonly LimitField[]).includes(field);
}

/** The least of what they hold, as the one that is told of them all. */
function heldByMounts(mounts: readonly MountPicture[], field: VolumeField): LimitValue | undefined {
  const held = mounts.flatMap(({ state }) => (state.held === null ? [] : [state.held[field]]));
  if (held.length === 0) return undefined;
  const least = Math.min(...held.map((value) => value ?? Number.POSITIVE_INFINITY));
  return Number.isFinite(least) ? least : null;
}

/** undefined: no word of the kernel on this field. */
function kernelValue(
  { nics }: Endpoint,
  field: LimitField,
  cgroup: CgroupLimits | undefined,
  rates: NodeRates,
): LimitValue | undefined {
  if (isCgroupField(field)) return cgroup?.[field];
  const [, side, direction] = /^net\.(external|internal)\.(in|out)$/.exec(field) ?? [];
  const nic = nics.find((one) => one.side === side);
  if (nic === undefined) return undefined;
  const port = rates.ports.find(({ hostIf }) => hostIf === nic.hostIf);
  return port?.[direction as 'in' | 'out'] ?? null;
}

function parsed<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new SluiceError('invalid_request', z.prettifyError(result.error), 'correct the request');
}
