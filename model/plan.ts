/** The lower layers of the base: what a tenant's plan says, and what holds for everybody else (docs/limits.md). */
import * as z from 'zod';
import { isTenantField, type Limits } from './limits.ts';
import { FlatLimits, fieldsOf } from './limits-tree.ts';
import { TenantName } from './names.ts';

function limitsOf(tenants: boolean, message: string): z.ZodType<Limits> {
  return FlatLimits.check(({ value, issues }) => {
    for (const [field] of fieldsOf(value))
      if (isTenantField(field) !== tenants)
        issues.push({ code: 'custom', input: field, path: [field], message });
  });
}

const ContainerLimitValues = limitsOf(
  false,
  "is a tenant's share of a node, and stands in its plan's `share`",
);
const ShareLimitValues = limitsOf(true, "is no field of a tenant's share; those begin with 'tenant.'");

/** How much a tenant may make of volumes itself; null: as much as there is. */
export const VolumeQuota = z.strictObject({
  count: z.int().min(0).nullable().default(null),
  /** Of all its volumes together, as they were asked for. */
  bytes: z.int().min(0).nullable().default(null),
});
export type VolumeQuota = z.infer<typeof VolumeQuota>;

/** What a tenant has bought. */
export const TenantPlan = z.strictObject({
  tenant: TenantName,
  /** Of each of its containers. */
  container: ContainerLimitValues.default({}),
  /** Of all its containers on one node together: the fields `tenant.*`. */
  share: ShareLimitValues.default({}),
  /** Whether containers may use what their siblings leave of the tenant's share, beyond their own rates. */
  borrow: z.boolean().default(false),
  /** Who is squeezed first when room is made for others: the lowest. */
  priority: z.int().min(-1_000).max(1_000).default(0),
  volumes: VolumeQuota.default({ count: null, bytes: null }),
});
export type TenantPlan = z.infer<typeof TenantPlan>;

/**
 * What a rate counts: bits of Ethernet frames as the container's interface sees them, or TCP payload of full
 * segments (docs/rates.md).
 */
export const RateMeaning = z.enum(['wire', 'goodput']);
export type RateMeaning = z.infer<typeof RateMeaning>;

/** What holds where nothing stronger says anything, in the whole cluster. */
export const LimitDefaults = z.strictObject({
  container: ContainerLimitValues.default({}),
  meaning: RateMeaning.default('wire'),
});
export type LimitDefaults = z.infer<typeof LimitDefaults>;

export const NO_DEFAULTS: LimitDefaults = { container: {}, meaning: 'wire' };

/** What a tenant without a plan has. */
export function emptyPlan(tenant: TenantName): TenantPlan {
  return {
    tenant,
    container: {},
    share: {},
    borrow: false,
    priority: 0,
    volumes: { count: null, bytes: null },
  };
}
