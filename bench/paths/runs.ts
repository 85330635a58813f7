/** Which paths have to be measured for the rows that are wanted. */
import type { RowId } from '../catalogue.ts';

export type Kind = 'ours' | 'bridge' | 'plain' | 'vxlan' | 'nic-vxlan' | 'nic-option' | 'nic-plain';
export type Distance = 'twohosts' | 'samehost';
export type Benchmark = 'P1' | 'P2' | 'P3';

/** A row compares one kind of path with another. */
export interface Comparison {
  readonly id: RowId;
  readonly subject: Kind;
  readonly against: Kind;
}

/** What is measured in one go: the rows of one benchmark over one distance share their samples. */
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
        { id: `${benchmark}.twohosts`, subject: 'ours', against: 'plain' },
        { id: `${benchmark}.bridge`, subject: 'bridge', against: 'plain' },
        { id: `${benchmark}.vxlan`, subject: 'ours', against: 'vxlan' },
      ],
    },
    {
      ...{ benchmark, distance: 'samehost' },
      rows: [{ id: `${benchmark}.samehost`, subject: 'ours', against: 'plain' }],
    },
  ]);
  return [...runs, CARDS]
    .map((run) => ({ ...run, rows: run.rows.filter(({ id }) => wanted.has(id)) }))
    .filter(({ rows }) => rows.length > 0);
}

const CARDS: Run = {
  ...{ benchmark: 'P1', distance: 'twohosts' },
  rows: [
    { id: 'P1.nic', subject: 'nic-vxlan', against: 'nic-plain' },
    { id: 'P1.nic.option', subject: 'nic-option', against: 'nic-plain' },
  ],
};

/** All that the runs compare with each other. */
export function kindsOf(runs: readonly Run[]): Kind[] {
  return [...new Set(runs.flatMap(({ rows }) => rows.flatMap(({ subject, against }) => [subject, against])))];
}
