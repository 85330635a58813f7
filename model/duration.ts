/** Lengths of time as people write them in the configuration: '24h', '100ms'. */
import * as z from 'zod';

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A whole number and its unit, or 0 alone. */
export const Duration = z.union([
  z.literal(0),
  z.string().regex(/^\d{1,6}(?:ms|s|m|h|d)$/, 'must be a number and a unit: 500ms, 30s, 10m, 24h, 7d'),
]);
export type Duration = z.infer<typeof Duration>;

/** @returns milliseconds */
export function millisecondsOf(duration: Duration): number {
  const [, count = '0', unit = 'ms'] = /^(\d+)(\w+)$/.exec(String(duration)) ?? [];
  return Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
}
