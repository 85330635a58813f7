/** What was measured, as rows of the report. */
import { goalText, isMet, ROWS, type RowId } from './catalogue.ts';
import type { Machine } from './machine.ts';
import { median, ratios, rounded } from './statistics.ts';

/** What a suite hands over for one id. */
export interface Measurement {
  readonly id: RowId;
  readonly value: number;
  /** The value of each round, in the order of time. */
  readonly rounds: readonly number[];
  readonly ours: number;
  /** Undefined where there is nothing to compare with. */
  readonly baseline: number | undefined;
  /** What else was seen on the way: samples of either side, processes… */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** As it is written to the file (`--json`). */
export interface Row {
  readonly id: RowId;
  readonly value: number;
  readonly unit: string;
  readonly goal: string;
  readonly met: boolean;
  readonly rounds: readonly number[];
  readonly baseline: number | null;
  readonly ours: number;
  readonly details: Readonly<Record<string, unknown>>;
  readonly machine: Machine;
}

/** Two sides measured in the same rounds: the value is the median of the rounds' ratios. */
export function ratioOf(id: RowId, ours: readonly number[], baseline: readonly number[]): Measurement {
  const rounds = ratios(ours, baseline);
  const samples = { ours: ours.map((one) => rounded(one)), baseline: baseline.map((one) => rounded(one)) };
  const { measuredIn } = { measuredIn: ROWS[id].unit, ...ROWS[id] };
  return {
    ...{ id, rounds, value: median(rounds), ours: median(ours), baseline: median(baseline) },
    details: { measuredIn, samples },
  };
}

export function rowOf({ id, value, rounds, ours, baseline, details }: Measurement, machine: Machine): Row {
  const { unit, goal } = ROWS[id];
  return {
    ...{ id, value: rounded(value), unit, goal: goalText(goal), met: isMet(goal, value, baseline) },
    rounds: rounds.map((round) => rounded(round)),
    baseline: baseline === undefined ? null : rounded(baseline),
    ours: rounded(ours),
    details: details ?? {},
    machine,
  };
}
