/** What commands print: one JSON document with --json, else text for people; and errors as one readable block. */
import { asSluiceError, exitCodeOf, problemOf, type SluiceError } from '../model/errors.ts';

/** Where output goes; tests have their own. */
export interface Streams {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

export const terminal: Streams = {
  out: (text) => {
    process.stdout.write(text);
  },
  err: (text) => {
    process.stderr.write(text);
  },
};

/** @param text  for people; without its last line end */
export function show(
  json: boolean | undefined,
  value: unknown,
  text: () => string,
  streams = terminal,
): void {
  streams.out(json ? `${JSON.stringify(value)}\n` : `${text()}\n`);
}

/**
 * With --json the problem document goes to stdout, where the answer would have been; else the error goes to stderr.
 * @returns the exit code
 */
export function showError(thrown: unknown, json: boolean, streams = terminal): number {
  const error = asSluiceError(thrown);
  if (json) streams.out(`${JSON.stringify(problemOf(error))}\n`);
  else streams.err(errorText(error));
  if (error.code === 'internal' && process.env['SLUICE_DEBUG']) streams.err(`${stackOf(thrown)}\n`);
  return exitCodeOf(error.code);
}

function errorText({ message, hint }: SluiceError): string {
  const [first = '', ...rest] = message.split('\n');
  const lines = [`sluice: ${first}`, ...rest.map((line) => `  ${line}`)];
  if (hint !== '') lines.push(`  → ${hint}`);
  return `${lines.join('\n')}\n`;
}

function stackOf(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}

/**
 * Columns as wide as their longest cell, two spaces apart.
 * @param empty  said in the place of a table without rows
 */
export function table(head: readonly string[], rows: readonly (readonly string[])[], empty: string): string {
  if (rows.length === 0) return empty;
  const all = [head.map((title) => title.toUpperCase()), ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Unix ms, to the second, in UTC. */
export function timeOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
