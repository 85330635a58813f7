/** Turns a finding into a row of the report, with the time it took; whatever breaks on the way is a row, too. */
import { asSluiceError } from '../../../model/errors.ts';
import type { CheckId } from '../catalog.ts';
import type { Finding } from '../means.ts';
import type { Check, Fate, Path } from '../report.ts';

export interface Row {
  readonly id: CheckId;
  readonly from: string;
  readonly to: string;
  readonly path: Path;
  readonly expect: Fate;
}

/** What a check found; `ms` where the check knows better than the clock around it. */
export type Timed = Finding & { readonly ms?: number };

export async function measured(row: Row, work: () => Promise<Timed>): Promise<Check> {
  const begun = performance.now();
  const found = await work().catch(
    (error: unknown): Timed => ({ got: 'error', note: asSluiceError(error).message }),
  );
  return {
    ...row,
    got: found.got,
    ms: round(found.ms ?? performance.now() - begun),
    ...(found.note !== undefined && { note: found.note }),
  };
}

export function untested(row: Row, note: string): Check {
  return { ...row, got: 'untested', ms: 0, note };
}

/** Microseconds are as fine as it gets. */
function round(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
