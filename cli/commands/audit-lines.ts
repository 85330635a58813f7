/** What a change found and what it left, as lines below its entry of the audit log. */
import { LimitField, type LimitValue } from '../../model/limits.ts';
import { printLimit } from '../../model/quantity.ts';

export interface AuditDetail {
  readonly before?: unknown;
  readonly after?: unknown;
}

/** More than that is read with --json. */
const MOST_LINES = 10;
const LONGEST = 300;

/** @returns one line for each container of a switch: `a/blue/cart-1/eth0  cpu 0.5 → 1`; else before and after as JSON */
export function detailLines({ before, after }: AuditDetail): string[] {
  if (before === undefined && after === undefined) return [];
  const was = limitsOf(before);
  const is = limitsOf(after);
  if (was === undefined || is === undefined) return [`before ${brief(before)}`, `after  ${brief(after)}`];
  const lines = Object.entries(was).map(([name, fields]) => {
    const changes = Object.entries(fields).map(
      ([field, value]) => `${field} ${word(field, value)} → ${word(field, is[name]?.[field])}`,
    );
    return `${name}  ${changes.join(', ')}`;
  });
  const left = lines.length - MOST_LINES;
  return left > 0 ? [...lines.slice(0, MOST_LINES), `and ${left} more: --json shows all`] : lines;
}

type Values = Readonly<Record<string, Readonly<Record<string, LimitValue>>>>;

function limitsOf(side: unknown): Values | undefined {
  return (side as { limits?: Values } | null | undefined)?.limits;
}

function word(field: string, value: LimitValue | undefined): string {
  const known = LimitField.safeParse(field);
  return known.success && value !== undefined ? printLimit(known.data, value) : '?';
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
