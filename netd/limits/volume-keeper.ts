/** Mounts of shared volumes as storaged tells of them on its socket, followed for as long as netd lives. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../../linux/api-client.ts';
import { asSluiceError } from '../../model/errors.ts';
import type { Log } from '../../model/log.ts';
import {
  MountLimitsAnswer,
  type MountLimitsWish,
  NodeMounts,
  type VolumeRates,
} from '../../model/mount-limits.ts';
import type { VolumeKeeper } from '../../qos/contract.ts';

/** After a break, when storaged begins anew. */
const RETRY_MS = 200;
/** Of a node that has no storaged, or has none yet: a refused connection costs 0.16 ms of a processor. */
const SELDOM_MS = 1_000;
/** How long it is taken for one that begins anew. */
const SOON_MS = 60_000;

/** How long one client may take; those of others are not held up. */
export const ANSWER_WITHIN_MS = 5_000;

/**
 * @param storaged  its socket; there need not be one
 * @param changed  called whenever there is news, and when storaged comes or goes
 */
export function followVolumes(
  storaged: Pick<ApiClient, 'request' | 'stream'>,
  signal: AbortSignal,
  changed: () => void,
  log: Log,
): VolumeKeeper {
  let told: NodeMounts | undefined;
  let answers = false;
  let heardAt = Number.NEGATIVE_INFINITY;
  /** Said once, and not at every attempt. */
  let complaint = '';

  async function follow(): Promise<void> {
    for await (const line of storaged.stream('/v1/mounts?watch=1', signal)) {
      told = NodeMounts.parse(line);
      answers = true;
      changed();
    }
  }

  function failed(thrown: unknown): void {
    const { code, message } = asSluiceError(thrown);
    if (code !== 'unreachable' && message !== complaint)
      log.warn({ reason: message }, 'storaged is not understood; limits of volumes are not kept');
    complaint = message;
  }

  async function followForEver(): Promise<void> {
    while (!signal.aborted) {
      await follow().catch(failed);
      if (answers) {
        answers = false;
        heardAt = performance.now();
        changed();
      }
      const pauseMs = performance.now() - heardAt < SOON_MS ? RETRY_MS : SELDOM_MS;
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async function put(path: string, limits: VolumeRates): Promise<MountLimitsAnswer> {
    const wish: MountLimitsWish = { limits };
    return MountLimitsAnswer.parse(await storaged.request('PUT', path, wish));
  }

  void followForEver();
  return {
    told: () => told,
    answers: () => answers,
    read: async () => NodeMounts.parse(await storaged.request('GET', '/v1/mounts')),
    apply: (mount, rates) => put(`/v1/mounts/${mount}/limits`, rates),
    applyShare: (tenant, rates) => put(`/v1/shares/tenants/${tenant}`, rates),
  };
}
