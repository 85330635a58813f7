/** Notices that glusterd has ended. Bricks and clients go on without it, but nothing can be asked of Gluster, or made. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../model/log.ts';
import type { StorageParts } from './parts.ts';

const LOOK_EVERY_MS = 500;

/** @param died  called once for each death; whoever needs glusterd starts it again */
export async function watchGluster(
  parts: Pick<StorageParts, 'open'>,
  died: () => void,
  signal: AbortSignal,
  log: Log,
): Promise<void> {
  while (!signal.aborted) {
    const { daemon } = parts.open.gluster ?? {};
    if (daemon?.isAlive() === true) {
      await daemon.died(signal).catch(() => undefined);
      if (signal.aborted) return;
      log.warn({}, 'glusterd has ended; it is started again');
      died();
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined);
  }
}
