/** What befalls containers' limits: said in the log, counted, and remembered for a while. */
import type { LimitField, LimitValue } from '../../model/limits.ts';
import { EVENTS_KEPT, type LimitEvent } from '../../model/limits-report.ts';
import type { Log } from '../../model/log.ts';
import { createRecent } from '../../model/recent.ts';

/** Containers whose events are remembered. */
const EVENTFUL = 4_096;

export interface LimitEvents {
  /** Somebody else has changed a limit. */
  drifted(container: string, field: LimitField, was: LimitValue, now: LimitValue): void;
  /** The kernel has killed processes for want of memory. */
  killed(container: string, processes: number): void;
  of(container: string): LimitEvent[];
  /** How often somebody else's change was found. */
  drifts(): number;
}

/** @param now  Unix ms */
export function createEvents(now: () => number, log: Log): LimitEvents {
  const recent = createRecent<LimitEvent>(EVENTS_KEPT, EVENTFUL);
  let drifts = 0;
  return {
    drifted(container, field, was, is): void {
      drifts += 1;
      const text = `${field} was changed by somebody else, from ${said(was)} to ${said(is)}`;
      recent.add(container, { at: now(), what: 'drift', field, text });
      log.warn({ container, field, was, now: is }, 'a limit was changed by somebody else');
    },
    killed(container, processes): void {
      const text = `the kernel killed ${processes} of its processes, because its memory was used up`;
      recent.add(container, { at: now(), what: 'oom', field: 'memory', text });
      log.warn({ container, processes }, 'a container ran out of memory');
    },
    of: (container) => recent.of(container),
    drifts: () => drifts,
  };
}

export function said(value: LimitValue): string {
  return value === null ? 'unlimited' : String(value);
}
