/** Times as numbers and as ISO 8601. The one place of the model that knows `Date`: for its arithmetic, never for its clock. */
// biome-ignore-all lint/style/noRestrictedGlobals: every Date here is made of a number or a text

/** A date and a time with an offset; without one nobody knows whose clock is meant. */
const ISO = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2})$/;

/** @param ms  Unix ms */
export function dateOf(ms: number): Date {
  return new Date(ms);
}

/** @returns Unix ms; undefined when it is no such time, or has no offset */
export function msOfIso(text: string): number | undefined {
  const day = text.slice(0, '2030-01-31'.length);
  const midnight = ISO.test(text) ? Date.parse(day) : Number.NaN;
  // Date.parse takes the 30th of February for the 2nd of March.
  const exists = !Number.isNaN(midnight) && isoOf(midnight).startsWith(day);
  const ms = exists ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}

/** To the second, in UTC: 2030-01-31T12:00:00Z. */
export function isoOf(ms: number): string {
  return `${dateOf(ms).toISOString().slice(0, 19)}Z`;
}
