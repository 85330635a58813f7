/** The report for the terminal. */
import { ROWS } from './catalogue.ts';
import type { Machine } from './machine.ts';
import type { Row } from './rows.ts';
import { median } from './statistics.ts';

const HEAD = ['id', 'what', 'value', 'goal', '', 'min', 'median', 'max', 'ours', 'baseline', 'in'];
const LEFT = new Set(['id', 'what', 'in']);

/** One line per row, in columns; min, median and max are of the rounds. */
export function renderTable(rows: readonly Row[], machine: Machine): string {
  const lines = [HEAD, ...rows.map(cells)];
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const text = lines.map((line) =>
    line
      .map((cell, column) => pad(cell, column, widths))
      .join('  ')
      .trimEnd(),
  );
  const missed = rows.filter(({ met }) => !met).length;
  const verdict = missed === 0 ? `all ${rows.length} goals met` : `${missed} of ${rows.length} goals missed`;
  const { cpu, cpus, kernel } = machine;
  return [...text, '', `${verdict}; ${cpus} × ${cpu}, Linux ${kernel}, Node ${machine.node}`, ''].join('\n');
}

function cells({ id, value, unit, goal, met, rounds, ours, baseline }: Row): string[] {
  const { title, measuredIn } = { measuredIn: unit, ...ROWS[id] };
  const spread = [Math.min(...rounds), median(rounds), Math.max(...rounds)].map(figure);
  const sides = [figure(ours), baseline === null ? '' : figure(baseline)];
  return [id, title, figure(value), goal, met ? 'met' : 'MISSED', ...spread, ...sides, measuredIn];
}

/** A measured number, as short as it can be without hiding what matters. */
export function figure(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en');
  return value.toFixed(value >= 100 ? 0 : 2);
}

function pad(cell: string, column: number, widths: readonly number[]): string {
  const width = widths[column] ?? 0;
  return LEFT.has(HEAD[column] ?? '') ? cell.padEnd(width) : cell.padStart(width);
}
