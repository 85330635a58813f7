/** What every group of benchmarks is given, and what it gives back. */
import type { RowId } from './catalogue.ts';
import type { Measurement } from './rows.ts';

export interface SuiteContext {
  readonly wanted: ReadonlySet<RowId>;
  readonly rounds: number;
  readonly seconds: number;
  /** Fired by Ctrl-C: what runs is ended, and everything taken down. */
  readonly signal: AbortSignal;
  /** A line about how far we are. */
  progress(line: string): void;
}

/** Measures those of its rows that are wanted. */
export type Suite = (context: SuiteContext) => Promise<Measurement[]>;
