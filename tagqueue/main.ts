/** The tagqueue role: wires the plane, the news from the server and the socket together. */
import { type ApiClient, localClient } from '../linux/api-client.ts';
import { serveLocal } from '../linux/local-api.ts';
import type { NodeView } from '../model/cluster-changes.ts';
import type { Config } from '../model/config.ts';
import { asSluiceError } from '../model/errors.ts';
import type { HeldKeys } from '../model/keys.ts';
import type { Log } from '../model/log.ts';
import type { IfName } from '../model/names.ts';
import { openAccounting } from './accounts/open.ts';
import { createDropNames } from './drop-names.ts';
import { reportDrops } from './drop-report.ts';
import { openDropLog } from './drops.ts';
import type { TenantRules } from './guard/messages.ts';
import { startGuard } from './guard/role.ts';
import type { Gear } from './nfqueue/plane.ts';
import type { PlaneOptions } from './plane.ts';
import { type Prober, startProber } from './probes/prober.ts';
import { openRunningPlane, type PlaneChoice, type RunningPlane } from './running-plane.ts';
import { FENCED, tagqueueRoutes, UNFENCE } from './server.ts';
import { loadSettings, type PlaneSettings, saveSettings, settingsFileOf } from './settings.ts';

export interface TagqueueOptions extends PlaneOptions {
  readonly plane: PlaneChoice;
  readonly gear: Gear;
  readonly stateDir: string;
  /** Days after which the hours of usage are forgotten. */
  readonly keepDays: number;
  /** What the server says, whenever it has changed. */
  readonly settings: AsyncIterable<PlaneSettings>;
  /** The cluster as this node follows it, and its server; undefined: the plane stands alone, as in tests. */
  readonly cluster?: {
    /** Tenants' guard rules, whenever they have changed, and the bridge that their containers leave by. */
    readonly guards: AsyncIterable<readonly TenantRules[]>;
    readonly externalBridge: IfName;
    view(): NodeView | undefined;
    readonly server: Pick<ApiClient, 'request'>;
    readonly probes: Config['probes'];
  };
  /** Told what the plane has, after it was made what the server said. */
  readonly settled?: (keys: HeldKeys) => void;
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
  const saved = loadSettings(file, options.log);
  const plane = await openRunningPlane(options, saved);
  const netd = localClient(`${options.runDir}/netd.sock`, { timeoutMs: NETD_WITHIN_MS });
  const names = createDropNames(() => options.cluster?.view(), netd);
  const drops = openDropLog({ ...options, records: plane.refusals(), names });
  const accounting = openAccounting(plane.counting, options);
  const { cluster } = options;
  const prober = cluster && plane.probed && startProber({ ...options, ...cluster, plane: plane.probed });
  const guard = cluster && startGuard(plane.guarded, drops, names, options, cluster);
  if (saved !== undefined) prober?.learn(saved);
  try {
    const routes =
      plane.ebpf !== undefined
        ? tagqueueRoutes({ plane: plane.ebpf, drops, names, prober, accounting, guard })
        : plane.routes({ drops, names, guard, prober, accounting });
    const api = await serveLocal(tagqueueSocketOf(options.runDir), routes, options.log);
    void followSettings(plane, prober, file, options);
    if (options.cluster !== undefined)
      void reportDrops(drops, options.cluster.server, options.node, options.signal, options.log);
    await aborted(options.signal);
    await api.close();
  } finally {
    await guard?.close();
    drops.close();
    netd.close();
    accounting.close();
    await plane.close();
  }
}

async function followSettings(
  plane: RunningPlane,
  prober: Prober | undefined,
  file: string,
  { settings, settled, signal, log }: TagqueueOptions,
): Promise<void> {
  let before = loadSettings(file, log);
  try {
    for await (const next of settings) {
      if (signal.aborted) return;
      // Saved first: what the server was told of a plane must hold after a reboot too.
      saveSettings(file, next);
      prober?.learn(next);
      await plane.settle(next);
      tellChange(before, next, log);
      before = next;
      if (plane.problem() === undefined) settled?.(plane.keys());
    }
  } catch (error) {
    log.error(
      { reason: asSluiceError(error).message },
      'no more news from the server; the last known settings hold',
    );
  }
}

/** Says what people should know: that the node was shut out or let in, and that it had missed something. */
function tellChange(before: PlaneSettings | undefined, next: PlaneSettings, log: Log): void {
  if (next.fenced !== (before?.fenced ?? false)) {
    if (next.fenced) log.error({ hint: UNFENCE }, FENCED);
    else log.warn({}, 'this node was let into the cluster again');
    return;
  }
  if (before === undefined || before.keys.keys.length === 0 || next.fenced) return;
  const known = new Set(before.keys.keys.map(({ key }) => key));
  if (next.keys.keys.some(({ key }) => known.has(key))) return;
  log.warn(
    { epoch: next.keys.current },
    'keys were changed while this node did not hear of it; it has caught up, but for a while others refused its packets',
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
