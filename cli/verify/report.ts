/** What a proof found: one row per check, and how people see it. */
import type { NodeName } from '../../model/names.ts';
import { type CheckId, TITLES } from './catalog.ts';

/** What happens to a packet. */
export type Fate = 'pass' | 'drop';
/**
 * `error`: the means did not work, so nothing was proved.
 * `untested`: something the check needs is not there.
 */
export type Verdict = Fate | 'error' | 'untested';
/** Which way it took: the tenant's network, the internet's side, forged onto the wire between hosts, through a volume. */
export type Path = 'internal' | 'external' | 'wire' | 'host' | 'volume';

export interface Check {
  readonly id: CheckId;
  readonly from: string;
  readonly to: string;
  readonly path: Path;
  readonly expect: Fate;
  readonly got: Verdict;
  /** Round trip of what passed, else how long the check took. */
  readonly ms: number;
  /** What people should know besides; always there for `error` and `untested`. */
  readonly note?: string;
}

export interface Report {
  /** Whether everything that was tested is as it should be. */
  readonly ok: boolean;
  readonly node: NodeName;
  readonly plane: string;
  readonly checks: readonly Check[];
}

export function reportOf(node: NodeName, plane: string, checks: readonly Check[]): Report {
  const tested = checks.filter(({ got }) => got !== 'untested');
  return { ok: tested.length > 0 && tested.every(isAsExpected), node, plane, checks };
}

export function isAsExpected({ expect, got }: Pick<Check, 'expect' | 'got'>): boolean {
  return expect === got;
}

export interface Colours {
  good(text: string): string;
  bad(text: string): string;
  dim(text: string): string;
}

export const PLAIN: Colours = { good: (text) => text, bad: (text) => text, dim: (text) => text };
const paint =
  (code: number) =>
  (text: string): string =>
    `\u001b[${code}m${text}\u001b[0m`;
export const COLOURFUL: Colours = { good: paint(32), bad: paint(31), dim: paint(2) };

/** The table for a terminal; notes stand below the rows they belong to. */
export function renderReport(report: Report, colours: Colours = PLAIN): string {
  const rows = report.checks.map((check) => [
    TITLES[check.id],
    check.from,
    check.to,
    check.path,
    check.expect,
    check.got,
    check.ms < 10 ? check.ms.toFixed(2) : check.ms.toFixed(0),
  ]);
  const head = ['check', 'from', 'to', 'path', 'expected', 'got', 'ms'];
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  const body = report.checks.flatMap((check, index) => {
    const mark = markOf(check, colours);
    const note = check.note === undefined ? [] : [colours.dim(`      ${check.note}`)];
    return [`${mark} ${line(rows[index] ?? [])}`, ...note];
  });
  return [colours.dim(`  ${line(head)}`), ...body, '', summary(report, colours)].join('\n');
}

function markOf(check: Check, colours: Colours): string {
  if (check.got === 'untested') return colours.dim('-');
  return isAsExpected(check) ? colours.good('✓') : colours.bad('✗');
}

function summary({ ok, node, plane, checks }: Report, colours: Colours): string {
  const untested = checks.filter(({ got }) => got === 'untested').length;
  const good = checks.filter(isAsExpected).length;
  const rest = untested === 0 ? '' : `, ${untested} untested`;
  const text = `node ${node}, plane ${plane}: ${good} of ${checks.length - untested} checks as expected${rest}`;
  return ok
    ? colours.good(`The fence stands. ${text}`)
    : colours.bad(`The fence does NOT stand as it should. ${text}`);
}
