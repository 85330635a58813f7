/** Tells the server which keys this node's plane has, so that a change of keys can go on. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../../linux/api-client.ts';
import { asSluiceError } from '../../model/errors.ts';
import type { HeldKeys } from '../../model/keys.ts';
import type { Log } from '../../model/log.ts';
import type { NodeName } from '../../model/names.ts';

const RETRY_MS = 250;
/** What is true now replaces what was; when the server is gone, the next stream begins with keys, and so with a word of ours. */
const ATTEMPTS = 20;

/** @returns to be called with what the plane has, whenever it was made what the server said */
export function acknowledger(
  client: Pick<ApiClient, 'request'>,
  node: NodeName,
  signal: AbortSignal,
  log: Log,
): (held: HeldKeys) => void {
  let latest: HeldKeys | undefined;
  let busy = false;

  async function tell(held: HeldKeys): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS && held === latest && !signal.aborted; attempt++) {
      try {
        await client.request('PUT', `/v1/nodes/${node}/keys`, held);
        return;
      } catch (thrown) {
        const { code, message } = asSluiceError(thrown);
        log.debug({ code, reason: message }, 'the server could not be told which keys this node has');
        if (code === 'refused' || code === 'unauthenticated') return;
        await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async function work(): Promise<void> {
    busy = true;
    for (let told: HeldKeys | undefined; latest !== undefined && latest !== told; ) {
      told = latest;
      await tell(told);
    }
    busy = false;
  }

  return (held) => {
    latest = held;
    if (!busy) void work();
  };
}
