/** R1 as a row: what was lost while keys changed, beside what was lost while they did not. */
import { SluiceError } from '../../model/errors.ts';
import type { RowId } from '../catalogue.ts';
import type { Measurement } from '../rows.ts';
import { rounded } from '../statistics.ts';
import type { Changes } from './changes.ts';
import { type Gaps, type Refused, sumOf } from './losses.ts';

export type Numbered = Gaps & Refused;

export interface Stream {
  readonly gigabitsPerSecond: number;
}

export interface RotationFigures {
  /** Of `udp`, with a change of keys in each. */
  readonly seconds: number;
  readonly before: Numbered;
  readonly udp: Numbered & Changes;
  readonly after: Numbered;
  readonly tcp: Stream & Changes & Refused;
  readonly tcpCalm: Stream & Refused;
}

/** Of 60 seconds 55 must have seen a whole change of keys. */
const LEAST_SHARE = 55 / 60;

/** @throws SluiceError `check_failed` when keys did not change often enough for the row to mean anything */
export function rowOfRotation(id: RowId, figures: RotationFigures): Measurement {
  const { seconds, before, udp, after, tcp, tcpCalm } = figures;
  if (udp.completed < Math.floor(seconds * LEAST_SHARE)) {
    throw new SluiceError(
      'check_failed',
      `${id}: only ${udp.completed} changes of keys in ${seconds} s`,
      'leave the machine alone while it measures; see sluice key show',
    );
  }
  const lost = lostOf(udp) + sumOf(tcp.refused);
  const ratio = rounded(tcp.gigabitsPerSecond / tcpCalm.gigabitsPerSecond);
  return {
    ...{ id, value: lost, rounds: [lost], ours: lost, baseline: lostOf(before) + lostOf(after) },
    details: { ...figures, changes: udp.completed, tcpRatio: ratio },
  };
}

/** What is missing may have been refused for its key: it is counted once. TCP sends again what was refused. */
function lostOf({ lost, refused }: Numbered): number {
  return Math.max(lost, sumOf(refused));
}
