/** What may be asked of a group's fields, and when two values are the same limit. Pure. */
import { SluiceError } from '../../model/errors.ts';
import { CGROUP_FIELDS, type CgroupField, type LimitValue } from '../../model/limits.ts';
import type { CgroupLimits } from '../contract.ts';
import { ORDINARY_WEIGHT } from './bandwidth.ts';
import { parseCpuList, sameCpus } from './cpu-list.ts';

/** Less than this means nothing to the kernel, or no limit at all. */
const ABOVE_ZERO: ReadonlySet<CgroupField> = new Set(
  CGROUP_FIELDS.filter((field) => field !== 'pids' && field !== 'cpu.burst'),
);

/** @throws SluiceError `invalid_request` naming the field, before anything is written */
export function checkWanted(wanted: CgroupLimits): void {
  for (const [name, value] of Object.entries(wanted)) {
    const field = CGROUP_FIELDS.find((one) => one === name);
    if (field === undefined) throw invalid(name, value, `known are ${CGROUP_FIELDS.join(', ')}`);
    if (value !== null && value !== undefined) checkValue(field, value);
  }
}

function checkValue(field: CgroupField, value: LimitValue): void {
  if (field === 'cpu.set') {
    if (typeof value !== 'string') throw invalid(field, value, 'write it like 0-3,7');
    parseCpuList(value);
    return;
  }
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    throw invalid(field, value, 'it takes a number, or null for unlimited');
  }
  if (value === 0 && ABOVE_ZERO.has(field)) {
    throw invalid(field, value, 'nothing at all cannot be held: stop the container instead');
  }
}

function invalid(field: string, value: unknown, hint: string): SluiceError {
  return new SluiceError('invalid_request', `${field}: ${JSON.stringify(value)} cannot be held`, hint);
}

/** Quotas count microseconds of a period of 100 ms, so there are no finer shares of a core. */
const CORE_GRAIN = 2e-5;
/** Weights of the kernel's own kind have steps of 100/1024. */
const WEIGHT_GRAIN = 0.06;
/** The kernel rounds memory down to pages, which have at most this. */
const PAGE = 65_536;

/**
 * Whether what the kernel holds is what is wanted, as exactly as it can be held: whoever looks for drift asks this
 * instead of comparing numbers.
 */
export function isSameLimit(field: CgroupField, wanted: LimitValue, held: LimitValue | undefined): boolean {
  if (held === undefined) return false;
  const [a, b] = [ordinary(field, wanted), ordinary(field, held)];
  if (a === null || b === null) return a === b;
  if (field === 'cpu.set') return sameCpus(parseCpuList(String(a)), parseCpuList(String(b)));
  const [one, other] = [Number(a), Number(b)];
  switch (field) {
    case 'cpu':
      return Math.abs(one - other) <= CORE_GRAIN;
    case 'cpu.weight':
    case 'block.weight':
      return Math.abs(one - other) <= WEIGHT_GRAIN;
    case 'memory':
    case 'memory.high':
      return other <= one && other > one - PAGE;
    default:
      return Math.round(one) === Math.round(other);
  }
}

/** The ordinary weight and no burst are what the kernel has by itself, and read as null. */
function ordinary(field: CgroupField, value: LimitValue): LimitValue {
  if (field.endsWith('.weight')) return value === ORDINARY_WEIGHT ? null : value;
  return field === 'cpu.burst' && value === 0 ? null : value;
}
