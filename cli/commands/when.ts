/** Times as people type them. All of them are UTC unless they say otherwise. */
import { SluiceError } from '../../model/errors.ts';

const UNITS = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 } as const;
const AGO = /^(\d{1,6})([mhdw])$/;
/** A date, or a date and a time, without an offset: ECMA-262 would take the latter for local time. */
const DATE = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?$/;

/**
 * @param text  ISO 8601 ('2030-01-31', '2030-01-31T12:00Z'), a time ago ('90m', '24h', '7d', '2w'), 'today',
 *   'yesterday' or 'now'
 * @param now  Unix ms
 * @returns Unix ms
 * @throws SluiceError `invalid_request`
 */
export function parseTime(text: string, now: number): number {
  const midnight = now - (now % UNITS.d);
  if (text === 'now') return now;
  if (text === 'today') return midnight;
  if (text === 'yesterday') return midnight - UNITS.d;
  const [, count, unit] = AGO.exec(text) ?? [];
  if (count !== undefined) return Math.max(0, now - Number(count) * UNITS[unit as keyof typeof UNITS]);
  const iso = DATE.test(text) && text.includes('T') ? `${text}Z` : text;
  const ms = /^\d{4}-\d{2}-\d{2}/.test(iso) ? Date.parse(iso) : Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  throw new SluiceError(
    'invalid_request',
    `${JSON.stringify(text)} is no time`,
    'say 24h, 7d, today, yesterday, 2030-01-31 or 2030-01-31T12:00Z',
  );
}
