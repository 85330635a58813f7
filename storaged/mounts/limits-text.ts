/** Limits of volumes in the translator's words (docs/translator.md), where 0 is unlimited. Pure. */
import type { Bucket, BucketRates } from '../../linux/shared-bucket-file.ts';
import { type Limits, VOLUME_FIELDS, type VolumeField } from '../../model/limits.ts';

const KEYS: Readonly<Record<VolumeField, Bucket>> = {
  'volume.read': 'read-bytes',
  'volume.write': 'write-bytes',
  'volume.readOps': 'read-ops',
  'volume.writeOps': 'write-ops',
};

/** What is not used while idle may be used at once later: so much of a rate's time. */
export const BURST_MS = 100;

/** `key=value`, one for each field. */
export function limitPairs(limits: Limits): string[] {
  return VOLUME_FIELDS.map((field) => `${KEYS[field]}=${rateOf(limits, field)}`);
}

/** The text of the attribute by which limits are changed. */
export function limitsText(limits: Limits): string {
  return [...limitPairs(limits), `burst-ms=${BURST_MS}`].join(',');
}

export function ratesOf(limits: Limits): BucketRates {
  const pairs = VOLUME_FIELDS.map((field) => [KEYS[field], rateOf(limits, field)] as const);
  return Object.fromEntries(pairs) as Record<Bucket, number>;
}

export function limitsOfRates(rates: BucketRates): Limits {
  return Object.fromEntries(VOLUME_FIELDS.map((field) => [field, rates[KEYS[field]] || null]));
}

/** Whole numbers; the smallest is 1, because 0 says something else. */
function rateOf(limits: Limits, field: VolumeField): number {
  const value = limits[field];
  return typeof value === 'number' ? Math.max(1, Math.round(value)) : 0;
}

/** Fields whose value is another than what was asked for. */
export function differing(wanted: Limits, held: Limits): VolumeField[] {
  return VOLUME_FIELDS.filter((field) => rateOf(wanted, field) !== rateOf(held, field));
}
