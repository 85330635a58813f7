/** Tells the server how storage is on this node: every second, and at once when there is news. */

import { createAlarm } from '../linux/alarm.ts';
import type { ApiClient } from '../linux/api-client.ts';
import { asSluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import type { NodeName } from '../model/names.ts';
import {
  STORAGE_REPORT_EVERY_MS,
  StorageAnswer,
  type StorageReport,
  type VolumeEvent,
} from '../model/volume-report.ts';

export interface StorageReporter {
  /** Whether the server has heard of this node since this process started, as far as there is anything to hear. */
  heard(): boolean;
  /** There is news. */
  nudge(): void;
  /** Told with the next report, and logged. */
  tell(event: VolumeEvent): void;
}

/** After a first failure; later ones wait longer. */
const FIRST_PAUSE_MS = 50;
/** More than the server takes at once would never be told. */
const MOST_EVENTS = 1_000;

/**
 * @param picture  undefined: this node has nothing of storage, and never had
 * @param answered  told how the bricks are of the volumes that this node coordinates
 */
export function reportStorage(
  server: Pick<ApiClient, 'request'>,
  node: NodeName,
  picture: () => Promise<Omit<StorageReport, 'node' | 'events'> | undefined>,
  answered: (volumes: StorageAnswer['volumes']) => void,
  signal: AbortSignal,
  log: Log,
): StorageReporter {
  const alarm = createAlarm(signal);
  let events: VolumeEvent[] = [];
  let reached = true;
  let heard = false;
  let pauseMs = STORAGE_REPORT_EVERY_MS;

  async function report(): Promise<void> {
    const whole = await picture();
    heard ||= whole === undefined;
    if (whole === undefined) return;
    const told = events.slice(0, MOST_EVENTS);
    const body = { node, ...whole, events: told };
    const answer = await server.request('POST', `/v1/nodes/${node}/storage`, body);
    events = events.slice(told.length);
    if (!reached) log.info({}, 'the server hears of storage again');
    reached = true;
    heard = true;
    pauseMs = STORAGE_REPORT_EVERY_MS;
    const standing = StorageAnswer.safeParse(answer);
    // An older server answers nothing.
    if (standing.success) answered(standing.data.volumes);
  }

  function failed(error: unknown): void {
    if (reached && !signal.aborted)
      log.info({ reason: asSluiceError(error).message }, 'the server does not hear of storage');
    pauseMs = reached ? FIRST_PAUSE_MS : Math.min(2 * pauseMs, STORAGE_REPORT_EVERY_MS);
    reached = false;
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      await report().catch(failed);
      await alarm.sleep(pauseMs);
    }
  }

  void run();
  return {
    heard: () => heard,
    nudge: () => alarm.ring(),
    tell: (event) => {
      log.info({ volume: event.volume, what: event.what }, event.text);
      events = [...events, event].slice(-10 * MOST_EVENTS);
      alarm.ring();
    },
  };
}
