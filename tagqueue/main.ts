/** The tagqueue role: wires the plane, the news from the server and the socket together. */
import { serveLocal } from '../linux/local-api.ts';
import { asSluiceError } from '../model/errors.ts';
import type { TenantTag } from '../model/names.ts';
import { openAccounting } from './accounts/open.ts';
import { openDropFeed } from './drops.ts';
import { openPlane, type Plane, type PlaneOptions } from './plane.ts';
import { tagqueueRoutes } from './server.ts';
import { loadSettings, type PlaneSettings, saveSettings, settingsFileOf } from './settings.ts';

export interface TagqueueOptions extends PlaneOptions {
  readonly stateDir: string;
  /** Days after which the hours of usage are forgotten. */
  readonly keepDays: number;
  /** Undefined for a tenant that is not known (any more). */
  tenantName(tag: TenantTag): string | undefined;
  /** What the server says, whenever it has changed. */
  readonly settings: AsyncIterable<PlaneSettings>;
  /** Ends the daemon; the plane stays as it is. */
  readonly signal: AbortSignal;
}

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
  const feed = openDropFeed(plane.map('drop_log'));
  const accounting = openAccounting(plane.map, options);
  try {
    const routes = tagqueueRoutes({ plane, feed, accounting, tenantName: options.tenantName });
    const api = await serveLocal(tagqueueSocketOf(options.runDir), routes, options.log);
    void followSettings(plane, file, options);
    await aborted(options.signal);
    await api.close();
  } finally {
    feed.close();
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
