/** Runs reconciliations one after the other: when something it depends on has changed, and at intervals. */
import { asSluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import type { ReconcileReport } from './reconcile.ts';

export interface Reconciler {
  /** Asks for a run. Requests that come while one is under way are served by one more. */
  request(): void;
  /** Runs now, behind a run that is under way, and tells what came of it. */
  runNow(): Promise<ReconcileReport>;
  /** Ends the intervals and waits for the run under way. */
  stop(): Promise<void>;
}

/**
 * @param everyMs   a dead container's addresses are freed after at most this long
 * @param run       its first failures are ordinary: the server or tagqueue may not be up yet
 */
export function createReconciler(everyMs: number, run: () => Promise<ReconcileReport>, log: Log): Reconciler {
  let last: Promise<unknown> = Promise.resolve();
  let queued = false;

  function runNow(): Promise<ReconcileReport> {
    const next = last.then(run, run);
    last = next.catch(() => undefined);
    return next;
  }

  function request(): void {
    if (queued) return;
    queued = true;
    const begin = (): Promise<ReconcileReport> => {
      queued = false;
      return run();
    };
    const next = last.then(begin, begin);
    last = next
      .then((report) => tell(report, log))
      .catch((error: unknown) => log.warn({ reason: asSluiceError(error).message }, 'not reconciled'));
  }

  const timer = setInterval(request, everyMs);
  return {
    request,
    runNow,
    async stop(): Promise<void> {
      clearInterval(timer);
      await last;
    },
  };
}

function tell(report: ReconcileReport, log: Log): void {
  if (report.failed.length > 0) log.error(report, 'reconciled, with failures');
  else if (report.repaired.length + report.removed.length > 0) log.info(report, 'reconciled');
  else log.debug(report, 'nothing to reconcile');
}
