/** Tells the server how this node's limits are: at once when something has changed, all of it now and then. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createAlarm } from '../../linux/alarm.ts';
import type { ApiClient } from '../../linux/api-client.ts';
import { asSluiceError } from '../../model/errors.ts';
import { type LimitsReport, LimitsReportAnswer, REPORT_EVERY_MS } from '../../model/limits-report.ts';
import type { Log } from '../../model/log.ts';
import type { NodeName } from '../../model/names.ts';
import type { Reports } from './report.ts';

/** How often all is told, whether the server asks for it or not. */
const WHOLE_EVERY_MS = 30_000;

const LAZY_MS = 250;
/** After a first failure; later ones wait longer. */
const FIRST_PAUSE_MS = 50;

export interface LimitsReporter {
  /**
   * There may be news.
   * @param urgent  whether somebody waits for it; of containers that come and go many are told together
   */
  nudge(urgent: boolean): void;
}

export function reportLimits(
  reports: Reports,
  server: Pick<ApiClient, 'request'>,
  node: NodeName,
  signal: AbortSignal,
  log: Log,
): LimitsReporter {
  const alarm = createAlarm(signal);
  let nudged = false;
  let whole = true;
  let wholeAt = 0;
  let reached = true;
  /** Whether the server waits for all of it. */
  let asked = false;
  let pauseMs: number | undefined;
  /** Whether the bell will be rung before long. */
  let lazy = false;

  /** @returns whether the server wants to have all of it next */
  async function send(messages: readonly LimitsReport[]): Promise<boolean> {
    let wanted = false;
    for (const message of messages) {
      const answer = await server.request('POST', `/v1/nodes/${node}/limits`, message);
      wanted = LimitsReportAnswer.parse(answer).whole;
    }
    return wanted;
  }

  async function report(): Promise<void> {
    if (!reports.ready()) return;
    const all = whole || performance.now() - wholeAt >= WHOLE_EVERY_MS;
    const news = nudged || all;
    nudged = false;
    const wanted = await send(news ? reports.next(all) : [reports.empty()]);
    // Asked for all although it was just sent, the server has its reasons, and is given time.
    asked = wanted && !all;
    whole = wanted;
    if (news) reports.sent();
    if (all) wholeAt = performance.now();
    if (!reached) log.info({}, 'the server hears of limits again');
    reached = true;
    pauseMs = undefined;
  }

  function failed(error: unknown): void {
    whole = true;
    pauseMs = Math.min(2 * (pauseMs ?? FIRST_PAUSE_MS / 2), REPORT_EVERY_MS);
    if (reached && !signal.aborted)
      log.info({ reason: asSluiceError(error).message }, 'the server does not hear of limits');
    reached = false;
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      await report().catch(failed);
      // A server that is away is not asked more often because there is more to tell.
      if (!reached) await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      else if (!asked) await alarm.sleep(REPORT_EVERY_MS);
    }
  }

  void run();
  return {
    nudge(urgent): void {
      nudged = true;
      if (urgent) alarm.ring();
      else if (!lazy) {
        lazy = true;
        setTimeout(() => {
          lazy = false;
          alarm.ring();
        }, LAZY_MS).unref();
      }
    },
  };
}
