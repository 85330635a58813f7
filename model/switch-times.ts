/** When a switch is to be open, as people type it: `--for 6h`, `--from +1h --until 2030-01-31T12:00Z`, `--every '0 23 * * *'`. */
import { cronProblem, zoneProblem } from './cron.ts';
import { Duration, millisecondsOf } from './duration.ts';
import { SluiceError } from './errors.ts';
import { msOfIso } from './iso-time.ts';
import type { Repetition } from './switch.ts';
import { momentOf } from './wall-clock.ts';

export interface TimeWords {
  readonly for?: string | undefined;
  readonly from?: string | undefined;
  readonly until?: string | undefined;
  readonly every?: string | undefined;
  readonly zone?: string | undefined;
}

/** What is not said is left to the server: it begins now, and ends as its preset says. Unix ms. */
export interface Times {
  readonly from?: number;
  readonly until?: number;
  readonly forMs?: number;
  readonly repeat: Repetition | null;
}

/** @throws SluiceError `invalid_request` */
export function timesOf(words: TimeWords, now: number): Times {
  const { every, zone, for: length } = words;
  const problem = zone === undefined ? undefined : zoneProblem(zone);
  if (problem !== undefined) throw wrong(`--zone: ${problem}`, 'say --zone Europe/Paris');
  const from = words.from === undefined ? {} : { from: timeOf('--from', words.from, zone, now) };
  const until = words.until === undefined ? {} : { until: timeOf('--until', words.until, zone, now) };
  const forMs = length === undefined ? {} : { forMs: lengthOf(length) };
  if (every === undefined) {
    if (length !== undefined && words.until !== undefined)
      throw wrong('both an end and a length are given', 'say --until or --for');
    checkOrder({ ...from, ...until }, now);
    return { ...from, ...until, ...forMs, repeat: null };
  }
  if (forMs.forMs === undefined)
    throw wrong(
      '--every says when windows open, and not how long they stay',
      "say --every '0 23 * * *' --for 6h",
    );
  if (words.until === undefined)
    throw wrong('--every goes on until somebody says when', "say --every '0 23 * * *' --for 6h --until +30d");
  const fault = cronProblem(every);
  if (fault !== undefined)
    throw wrong(`--every ${JSON.stringify(every)} ${fault}`, "say --every '0 23 * * *'");
  checkOrder({ ...from, ...until }, now);
  return { ...from, ...until, repeat: { cron: every, forMs: forMs.forMs, zone: zone ?? 'UTC' } };
}

/**
 * @param text  `now`, `+2h` from now, a date and time with an offset, or one on the clocks of the zone
 * @param zone  undefined: then a time without an offset is nobody's
 * @throws SluiceError `invalid_request`
 */
export function timeOf(option: string, text: string, zone: string | undefined, now: number): number {
  if (text === 'now') return now;
  if (text.startsWith('+')) return now + lengthOf(text.slice(1), option);
  const exact = msOfIso(text);
  if (exact !== undefined) return exact;
  const wall = msOfIso(`${text}Z`);
  if (wall !== undefined && zone !== undefined) return momentOf(wall, zone);
  if (wall !== undefined)
    throw wrong(
      `${option}: ${text} is another time on every continent`,
      `say ${text}Z, ${text}+01:00 or --zone Europe/Paris`,
    );
  throw wrong(`${option}: ${JSON.stringify(text)} is no time`, 'say 2030-01-31T12:00Z, +2h or now');
}

function lengthOf(text: string, option = '--for'): number {
  const parsed = Duration.safeParse(text);
  const ms = parsed.success ? millisecondsOf(parsed.data) : 0;
  if (ms >= 1_000) return ms;
  const problem = parsed.success ? 'is shorter than a second' : 'is no length of time';
  throw wrong(`${option}: ${JSON.stringify(text)} ${problem}`, 'say 30s, 90m, 6h or 7d');
}

function checkOrder({ from = 0, until }: { from?: number; until?: number }, now: number): void {
  if (until === undefined) return;
  if (until <= from) throw wrong('--until is before --from', 'give an end after the beginning');
  if (until <= now) throw wrong('--until has passed already', 'give an end that is still to come');
}

function wrong(message: string, hint: string): SluiceError {
  return new SluiceError('invalid_request', message, hint);
}
