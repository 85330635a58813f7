/** Whether the kernel holds what is wanted, as exactly as it can be held. Pure. */
import { CGROUP_FIELDS, type CgroupField, type LimitField, type LimitValue } from '../model/limits.ts';
import { isSameLimit } from './cgroup/values.ts';

/** Rates are held in bytes a second, and read back as such. */
const BITS_PER_BYTE = 8;

/** What 'without limit' is for fields that the kernel always has a value for. */
const NEUTRAL: Readonly<Partial<Record<LimitField, LimitValue>>> = {
  'cpu.weight': 100,
  'block.weight': 100,
  'cpu.burst': 0,
};

/** @param held  what the kernel has */
export function sameValue(field: LimitField, wanted: LimitValue, held: LimitValue): boolean {
  if (isCgroupField(field)) return isSameLimit(field, wanted, held);
  if (typeof wanted !== 'number' || typeof held !== 'number') return wanted === held;
  return Math.abs(wanted - held) <= BITS_PER_BYTE;
}

/** Whether the kernel's value limits anything. */
export function isLimit(field: LimitField, value: LimitValue): boolean {
  return value !== null && value !== NEUTRAL[field];
}

export function isCgroupField(field: LimitField): field is CgroupField {
  return (CGROUP_FIELDS as readonly LimitField[]).includes(field);
}
