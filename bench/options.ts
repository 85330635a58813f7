/** The command line of the benchmarks. */
import { parseArgs } from 'node:util';
import { SluiceError } from '../model/errors.ts';
import { chooseRows, type RowId } from './catalogue.ts';

export interface BenchOptions {
  readonly rows: readonly RowId[];
  /** Where the rows are written to as JSON. */
  readonly jsonFile: string | undefined;
  readonly rounds: number;
  /** How long each measurement of a path takes. */
  readonly seconds: number;
}

export const USAGE = `usage: npm run bench -- [--only P1,P5.add] [--json FILE] [--rounds N] [--seconds S]

  --only     ids, or beginnings of ids; default: all
  --json     also write the rows to this file
  --rounds   how often each pair is measured, 1 to 20; default 5
  --seconds  how long a path is measured each time, 1 to 60; default 2; R1 takes at least 10
`;

/** @returns undefined when only help was asked for. @throws SluiceError `invalid_request` */
export function parseOptions(args: readonly string[]): BenchOptions | undefined {
  const { help, only, json, rounds, seconds } = parseFlags(args);
  if (help) return undefined;
  const words = only.flatMap((list) => list.split(',')).map((word) => word.trim());
  return {
    rows: chooseRows(words),
    jsonFile: json,
    rounds: whole('rounds', rounds, 20),
    seconds: whole('seconds', seconds, 60),
  };
}

interface Flags {
  readonly help: boolean;
  readonly only: readonly string[];
  readonly json: string | undefined;
  readonly rounds: string;
  readonly seconds: string;
}

function parseFlags(args: readonly string[]): Flags {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        only: { type: 'string', multiple: true, default: [] },
        json: { type: 'string' },
        rounds: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '2' },
      },
    });
    return { ...values, json: values.json };
  } catch (error) {
    throw new SluiceError('invalid_request', (error as Error).message, USAGE, { cause: error });
  }
}

function whole(name: string, text: string, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= most) return value;
  throw new SluiceError('invalid_request', `--${name} ${text}: must be a number from 1 to ${most}`, USAGE);
}
