/** Follows tagqueue's word of where the plane is, and keeps it open in this process. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../linux/api-client.ts';
import { asSluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import type { MarkMask } from '../model/mark.ts';
import { openNfqueuePorts } from '../tagqueue/nfqueue/ports.ts';
import { AnyPlaneIds } from '../tagqueue/plane-ids.ts';
import { openPortPlane, type PortPlane } from '../tagqueue/port-binding.ts';

const RETRY_MS = 200;
/** The relay gives a call up after 60 s (cni/relay.h): no ADD uses a plane that was replaced longer ago. */
const LONGEST_CALL_MS = 60_000;

export interface PlaneFeed {
  /** Stays open while tagqueue is away: the programs are in the kernel. */
  current(): PortPlane | undefined;
}

/** @param changed  called whenever there is a plane, or another one */
export function followPlane(
  tagqueue: ApiClient,
  markMask: MarkMask,
  signal: AbortSignal,
  changed: () => void,
  log: Log,
): PlaneFeed {
  let plane: PortPlane | undefined;

  async function follow(): Promise<void> {
    for await (const line of tagqueue.stream('/v1/plane?watch=1', signal)) {
      retire(plane);
      plane = openAny(line, markMask);
      changed();
    }
  }

  async function followForEver(): Promise<void> {
    while (!signal.aborted) {
      await follow().catch((error: unknown) =>
        log.debug({ reason: asSluiceError(error).message }, 'no word from tagqueue'),
      );
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
    plane?.[Symbol.dispose]();
  }

  void followForEver();
  return { current: () => plane };
}

/** @throws SluiceError `try_again` when the plane was replaced meanwhile */
function openAny(line: unknown, markMask: MarkMask): PortPlane {
  const ids = AnyPlaneIds.parse(line);
  return 'nfqueue' in ids
    ? openNfqueuePorts(ids.nfqueue.table, markMask, ids.nfqueue.flows)
    : openPortPlane(ids, markMask);
}

/** An ADD under way may still hold the plane: closed at once, its descriptors could come to mean something else. */
function retire(plane: PortPlane | undefined): void {
  if (plane !== undefined) setTimeout(() => plane[Symbol.dispose](), LONGEST_CALL_MS).unref();
}
