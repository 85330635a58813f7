/** The tagqueue role: wires the plane, the news from the server and the socket together. */
import { type ApiClient, localClient } from '../linux/api-client.ts';
import { serveLocal } from '../linux/local-api.ts';
import type { NodeView } from '../model/cluster-changes.ts';
import { asSluiceError } from '../model/errors.ts';
import { openAccounting } from './accounts/open.ts';
import { createDropNames } from './drop-names.ts';
import { reportDrops } from './drop-report.ts';
import { openDropLog } from './drops.ts';
import { openPlane, type Plane, type PlaneOptions } from './plane.ts';
import { tagqueueRoutes } from './server.ts';
import { loadSettings, type PlaneSettings, saveSettings, settingsFileOf } from './settings.ts';

export interface TagqueueOptions extends PlaneOptions {
  readonly stateDir: string;
  /** Days after which the hours of usage are forgotten. */
  readonly keepDays: number;
  /** What the server says, whenever it has changed. */
  readonly settings: AsyncIterable<PlaneSettings>;
  /** The cluster as this node follows it, and its server; undefined: the plane stands alone, as in tests. */
  readonly cluster?: {
    view(): NodeView | undefined;
    readonly server: Pick<ApiClient, 'request'>;
  };
  /** Ends the daemon; the plane stays as it is. */
  readonly signal: AbortSignal;
}

/** Names of containers are worth no longer wait than this. */
const NETD_WITHIN_MS = 1_000;

export function tagqueueSocketOf(runDir: string): string {
  return `${runDir}/tagqueue.sock`;
}

/**
 * Runs until the signal.
 * @throws SluiceError when the plane cannot be made, or when another tagqueue has the socket.
 */
export async function runTagqueue(options: TagqueueOptions): Promise<void> {
  const file = settingsFileOf(options.stateDir);
  const plane = await openPlane(options, loadSettings(file, options.log));
  const netd = localClient(`${options.runDir}/netd.sock`, { timeoutMs: NETD_WITHIN_MS });
  const names = createDropNames(() => options.cluster?.view(), netd);
  const drops = openDropLog({ node: options.node, dropLog: plane.map('drop_log'), names, log: options.log });
  const accounting = openAccounting(plane.map, options);
  try {
    const routes = tagqueueRoutes({ plane, drops, names, accounting });
    const api = await serveLocal(tagqueueSocketOf(options.runDir), routes, options.log);
    void followSettings(plane, file, options);
    if (options.cluster !== undefined)
      void reportDrops(drops, options.cluster.server, options.node, options.signal, options.log);
    await aborted(options.signal);
    await api.close();
  } finally {
    drops.close();
    netd.close();
    accounting.close();
    await plane.close();
  }
}

async function followSettings(
  plane: Plane,
  file: string,
  { settings, signal, log }: TagqueueOptions,
): Promise<void> {
  try {
    for await (const next of settings) {
      if (signal.aborted) return;
      saveSettings(file, next);
      await plane.settle(next);
    }
  } catch (error) {
    log.error(
      { reason: asSluiceError(error).message },
      'no more news from the server; the last known settings hold',
    );
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
