/** Which paths have to be measured for the rows that are wanted. */
import type { RowId } from '../catalogue.ts';

export type Kind = 'ours' | 'plain' | 'vxlan';
export type Distance = 'twohosts' | 'samehost';
export type Benchmark = 'P1' | 'P2' | 'P3';

/** A row compares ours with another kind of path. */
export interface Comparison {
  readonly id: RowId;
  readonly against: Kind;
}

/** What is measured in one go: the rows of one benchmark over one distance share our samples. */
export interface Run {
  readonly benchmark: Benchmark;
  readonly distance: Distance;
  readonly rows: readonly Comparison[];
}

const BENCHMARKS: readonly Benchmark[] = ['P1', 'P2', 'P3'];

/** The fewest runs that serve all wanted rows. */
export function planRuns(wanted: ReadonlySet<RowId>): Run[] {
  const runs = BENCHMARKS.flatMap((benchmark): Run[] => [
    {
      ...{ benchmark, distance: 'twohosts' },
      rows: [
        { id: `${benchmark}.twohosts`, against: 'plain' },
        { id: `${benchmark}.vxlan`, against: 'vxlan' },
      ],
    },
    { benchmark, distance: 'samehost', rows: [{ id: `${benchmark}.samehost`, against: 'plain' }] },
  ]);
  return runs
    .map((run) => ({ ...run, rows: run.rows.filter(({ id }) => wanted.has(id)) }))
    .filter(({ rows }) => rows.length > 0);
}

/** Ours, and those that the runs compare it with. */
export function kindsOf(runs: readonly Run[]): Kind[] {
  return [...new Set<Kind>(['ours', ...runs.flatMap(({ rows }) => rows.map(({ against }) => against))])];
}
