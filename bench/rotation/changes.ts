/** Changes the keys of a lab's cluster at a steady pace, and counts the changes that were really carried through. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabNode } from '../../lab/node.ts';
import { type ApiClient, localClient } from '../../linux/api-client.ts';
import { SluiceError } from '../../model/errors.ts';
import { KeyReport } from '../../model/keys.ts';

const EVERY_MS = 1_000;
/** A change waits two seconds for nodes and then some for packets on their way. */
const STEADY_WITHIN_MS = 5_000;
const ROTATION = '/v1/keys/rotation';

export interface Changes {
  /** Ended: all nodes send with the next key, and the one before is refused. */
  readonly completed: number;
  /** Not begun, because the one before was still under way. */
  readonly skipped: number;
}

/**
 * Changes the keys every second while `work` goes on; the last change is waited for.
 * @param server  the node with the server
 * @throws SluiceError whatever `work` or the server throws; `not_ready` when a change does not end
 */
export async function whileKeysChange<T>(server: LabNode, work: () => Promise<T>): Promise<T & Changes> {
  const api = localClient(`${server.runDir}/server.sock`);
  const stop = new AbortController();
  try {
    const { generation } = await steady(api);
    const changing = changeUntil(api, stop.signal);
    // Should it fail early, the work still has to end before its failure is told.
    changing.catch(() => undefined);
    const result = await work().finally(() => stop.abort());
    const skipped = await changing;
    return { ...result, completed: (await steady(api)).generation - generation, skipped };
  } finally {
    stop.abort();
    api.close();
  }
}

async function changeUntil(api: ApiClient, signal: AbortSignal): Promise<number> {
  let skipped = 0;
  for (let due = performance.now(); !signal.aborted; due += EVERY_MS) {
    await api.request('POST', ROTATION).catch((error: unknown) => {
      if (!(error instanceof SluiceError) || error.code !== 'conflict') throw error;
      skipped += 1;
    });
    const restMs = Math.max(0, due + EVERY_MS - performance.now());
    await sleep(restMs, undefined, { signal }).catch(() => undefined);
  }
  return skipped;
}

async function steady(api: ApiClient): Promise<KeyReport> {
  const until = performance.now() + STEADY_WITHIN_MS;
  for (;;) {
    const report = KeyReport.parse(await api.request('GET', ROTATION));
    if (report.phase === 'steady' && report.nodes.every(({ standing }) => standing === 'current'))
      return report;
    if (performance.now() > until) {
      const nodes = report.nodes.map(({ node, standing }) => `${node} ${standing}`).join(', ');
      throw new SluiceError('not_ready', `keys are ${report.phase}: ${nodes}`, 'see sluice key show');
    }
    await sleep(20);
  }
}
