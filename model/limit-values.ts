/** What a value of a limit may be, field by field: whoever sets limits from outside passes here. */
import * as z from 'zod';
import {
  isTenantField,
  LIMIT_UNITS,
  LimitField,
  type Limits,
  type LimitUnit,
  type LimitValue,
} from './limits.ts';

/** A list as in cpuset(7): 0-3,7. */
const CPUS = /^\d{1,5}(?:-\d{1,5})?(?:,\d{1,5}(?:-\d{1,5})?)*$/;

interface Bounds {
  readonly least: number;
  readonly most: number;
  readonly whole: boolean;
}

/** What no machine has, or what would stop a container altogether, is a slip of the pen. */
const BOUNDS: Readonly<Record<Exclude<LimitUnit, 'cpus'>, Bounds>> = {
  // The kernel's least quota is 1 ms of a period of 100 ms (kernel/sched/core.c, min_cfs_quota_period).
  cores: { least: 0.01, most: 65_536, whole: false },
  milliseconds: { least: 0, most: 60_000, whole: false },
  weight: { least: 1, most: 10_000, whole: true },
  bytes: { least: 1_048_576, most: 2 ** 50, whole: true },
  count: { least: 1, most: 4_194_304, whole: true },
  bytesPerSecond: { least: 1_024, most: 2 ** 50, whole: true },
  opsPerSecond: { least: 1, most: 2 ** 31, whole: true },
  bitsPerSecond: { least: 8_000, most: 10 ** 13, whole: true },
};

/** @returns what is wrong with the value; undefined when nothing is. null is unlimited, and right for every field. */
export function faultOf(field: LimitField, value: LimitValue): string | undefined {
  if (value === null) return undefined;
  const unit = LIMIT_UNITS[field];
  if (unit === 'cpus') {
    return typeof value === 'string' && CPUS.test(value) ? undefined : 'must be a list of CPUs such as 0-3,7';
  }
  if (typeof value !== 'number') return `must be a number (${unit})`;
  const { least, most, whole } = BOUNDS[unit];
  if (value < least || value > most) return `must be ${least} to ${most} (${unit})`;
  return whole && !Number.isInteger(value) ? `must be a whole number (${unit})` : undefined;
}

const Value: z.ZodType<LimitValue> = z.union([z.number().finite(), z.string().max(256), z.null()]);

/** Limits as somebody gives them. */
export const LimitValues: z.ZodType<Limits> = z
  .partialRecord(LimitField, Value)
  .check(({ value, issues }) => {
    for (const [field, one] of Object.entries(value) as [LimitField, LimitValue][]) {
      const message = faultOf(field, one);
      if (message !== undefined) issues.push({ code: 'custom', input: one, path: [field], message });
    }
  });

/** Those of a single container. */
export const ContainerLimitValues = only(false, "a tenant's share of a node stands in its plan's `share`");
/** Those of a tenant's share of a node. */
export const ShareLimitValues = only(true, "is no field of a tenant's share; those begin with 'tenant.net.'");

function only(tenants: boolean, message: string): z.ZodType<Limits> {
  return LimitValues.check(({ value, issues }) => {
    for (const field of Object.keys(value) as LimitField[])
      if (isTenantField(field) !== tenants)
        issues.push({ code: 'custom', input: field, path: [field], message });
  });
}
