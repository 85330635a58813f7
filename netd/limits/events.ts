/** What befalls containers' limits: said in the log, counted, and remembered for a while. */
import type { LimitField, LimitValue } from '../../model/limits.ts';
import { EVENTS_KEPT, type LimitEvent } from '../../model/limits-report.ts';
import type { Log } from '../../model/log.ts';
import type { TenantName } from '../../model/names.ts';
import { createRecent } from '../../model/recent.ts';

/** Containers whose events are remembered. */
const EVENTFUL = 4_096;

export interface LimitEvents {
  /** Somebody else has changed a limit: of a container, or of what a tenant's have together. */
  drifted(whose: Whose, field: LimitField, was: LimitValue, now: LimitValue): void;
  /** The kernel has killed processes for want of memory. */
  killed(container: string, processes: number): void;
  of(container: string): LimitEvent[];
  ofShare(tenant: TenantName): LimitEvent[];
  /** How often somebody else's change was found. */
  drifts(): number;
}

export type Whose = { readonly container: string } | { readonly tenant: TenantName };

/** @param now  Unix ms */
export function createEvents(now: () => number, log: Log): LimitEvents {
  const recent = createRecent<LimitEvent>(EVENTS_KEPT, EVENTFUL);
  let drifts = 0;
  return {
    drifted(whose, field, was, is): void {
      drifts += 1;
      const text = `${field} was changed by somebody else, from ${said(was)} to ${said(is)}`;
      const key = 'tenant' in whose ? shareKey(whose.tenant) : whose.container;
      recent.add(key, { at: now(), what: 'drift', field, text });
      log.warn({ ...whose, field, was, now: is }, 'a limit was changed by somebody else');
    },
    killed(container, processes): void {
      const text = `the kernel killed ${processes} of its processes, because its memory was used up`;
      recent.add(container, { at: now(), what: 'oom', field: 'memory', text });
      log.warn({ container, processes }, 'a container ran out of memory');
    },
    of: (container) => recent.of(container),
    ofShare: (tenant) => recent.of(shareKey(tenant)),
    drifts: () => drifts,
  };
}

/** No container is called so: of those that are attached a slash is in the middle, and no id has one. */
function shareKey(tenant: TenantName): string {
  return `/${tenant}`;
}

export function said(value: LimitValue): string {
  return value === null ? 'unlimited' : String(value);
}
