/** The role `server`: puts store, identity and operations together and opens the doors. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { FastifyInstance } from 'fastify';
import { closeServer } from '../../linux/local-api.ts';
import { listenPrivately } from '../../linux/private-socket.ts';
import type { ClusterPools } from '../../model/cluster.ts';
import { Config } from '../../model/config.ts';
import { SluiceError } from '../../model/errors.ts';
import type { Fingerprint } from '../../model/join.ts';
import type { Log } from '../../model/log.ts';
import type { Store } from '../../store/contract.ts';
import { openSqliteStore } from '../../store/sqlite.ts';
import { auditOperations } from './audit.ts';
import { authenticate } from './authenticate.ts';
import { clusterOperations, openCluster } from './cluster.ts';
import { createDropLog, dropOperations } from './drops.ts';
import { followingOperations } from './following.ts';
import { guardOperations } from './guards.ts';
import { type Door, httpApp } from './http.ts';
import { openIdentity } from './identity.ts';
import { openKeys } from './key-state.ts';
import { keyOperations } from './keys.ts';
import { LimitReports } from './limit-reports.ts';
import { limitOperations } from './limits.ts';
import { type Metrics, makeMetrics } from './metrics.ts';
import { mutator } from './mutate.ts';
import { namespaceOperations } from './namespaces.ts';
import { fenceOperations } from './node-fence.ts';
import { nodeOperations } from './nodes.ts';
import { openapiOperation } from './openapi.ts';
import type { Cluster, Operation } from './operation.ts';
import { planOperations } from './plans.ts';
import { probeOperations } from './probes.ts';
import type { KeyTiming } from './rotation-plan.ts';
import { makeRotator, type Rotator } from './rotator.ts';
import { statusOperations } from './status.ts';
import { storageReportOperations } from './storage-reports.ts';
import { makeSwitchClock, type SwitchClock } from './switch-clock.ts';
import { switchEndOperations } from './switch-ends.ts';
import { type SwitchRules, switchRules } from './switch-rules.ts';
import { switchOperations } from './switches.ts';
import { tenantOperations } from './tenants.ts';
import { tokenOperations } from './tokens.ts';
import { volumeChangeOperations } from './volume-changes.ts';
import { makeVolumeClock, type VolumeClock } from './volume-clock.ts';
import { volumeHostOperations } from './volume-hosts.ts';
import { volumeMoveOperations } from './volume-move.ts';
import { VolumeReports } from './volume-reports.ts';
import { type VolumeRules, volumeRules } from './volume-rules.ts';
import { volumeOperations } from './volumes.ts';

export interface ServerOptions {
  /** Where server.sock goes. */
  readonly runDir: string;
  /** Where server.sqlite and server.pem are kept. */
  readonly stateDir: string;
  /** host:port for other nodes; without it only this machine can ask. Port 0 takes any free one. */
  readonly listen?: string;
  /** Taken at the first start; later ones must agree. */
  readonly settings: ClusterPools;
  readonly keys?: KeyTiming;
  readonly switches?: SwitchRules;
  readonly volumes?: VolumeRules;
  readonly version: string;
  readonly log: Log;
  /** Wall clock, Unix time in ms. */
  readonly now?: () => number;
  /** Ms that only go forward: how long storage nodes have been silent. */
  readonly clock?: () => number;
  /** For tests of crashes. */
  readonly checkpoint?: (point: string) => void;
}

export interface RunningServer {
  readonly fingerprint: Fingerprint;
  /** host:port that was opened; undefined without `listen`. */
  readonly address: string | undefined;
  /** Ends streams, lets requests under way finish, and lets go of the store. */
  close(): Promise<void>;
}

/** A node tries again at least every five seconds (store/follow.ts). */
export const RECONNECT_MS = 6_000;
/** As in the configuration's defaults. */
const DEFAULT_TIMING: KeyTiming = {
  rotateEveryMs: 86_400_000,
  graceMs: 10_000,
  waitMs: 600_000,
  reconnectMs: RECONNECT_MS,
};

/** @throws SluiceError when a file is damaged, the settings have changed, or a door cannot be opened. */
export async function runServer(options: ServerOptions): Promise<RunningServer> {
  const now = options.now ?? Date.now;
  const store = openSqliteStore(path.join(options.stateDir, 'server.sqlite'), { now });
  const opened: FastifyInstance[] = [];
  const keepers: (Rotator | SwitchClock | VolumeClock)[] = [];
  const limits = new LimitReports(() => performance.now());
  const storage = new VolumeReports({ now, clock: options.clock ?? (() => performance.now()) });
  const close = async (): Promise<void> => {
    limits.close();
    storage.close();
    for (const keeper of keepers) await keeper.close();
    for (const app of opened) await closeApp(app);
    await store.close();
  };
  try {
    await openCluster(store, options.settings);
    await openKeys(store, randomBytes, now());
    const identity = await openIdentity(path.join(options.stateDir, 'server.pem'), now());
    const { fingerprint, pem } = identity;
    const mutate = mutator(store, now);
    const rotator = makeRotator({
      ...{ store, mutate, now, clock: () => performance.now(), log: options.log, startedAt: now() },
      timing: options.keys ?? DEFAULT_TIMING,
      checkpoint: options.checkpoint ?? ((): void => {}),
    });
    keepers.push(rotator);
    const switches = makeSwitchClock({
      ...{ store, mutate, now, limits, log: options.log },
      checkpoint: options.checkpoint ?? ((): void => {}),
    });
    keepers.push(switches);
    const volumes = makeVolumeClock({
      ...{ store, mutate, now, reports: storage, log: options.log },
      checkpoint: options.checkpoint ?? ((): void => {}),
    });
    keepers.push(volumes);
    const cluster: Cluster = {
      limits,
      switches,
      switchRules: options.switches ?? switchRules(Config.parse({}).switches),
      storage,
      volumes,
      volumeRules: options.volumes ?? volumeRules(Config.parse({}).storage),
      store,
      mutate,
      now,
      random: randomBytes,
      rotator,
      fingerprint,
      version: options.version,
    };
    const metrics = makeMetrics(store, rotator, storage);
    const operations = allOperations(metrics, options.version);
    const open = (door: Door): FastifyInstance => {
      const app = httpApp(door, cluster, operations, metrics, options.log);
      opened.push(app);
      return app;
    };
    // The socket comes last: whoever hears from it may send others to the far door.
    const address = options.listen && (await listenAfar(open(farDoor(store, pem)), options.listen));
    await listenHere(open({ identify: () => Promise.resolve({ role: 'root' }) }), options.runDir);
    rotator.start();
    switches.start();
    volumes.start();
    options.log.info({ address, fingerprint }, 'the server is ready');
    return { fingerprint, address, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** All that the server can do; the authorisation table has an entry for each. */
export function allOperations(metrics: Metrics, version: string): readonly Operation[] {
  const operations = [
    ...statusOperations,
    ...metrics.operations,
    ...followingOperations,
    ...clusterOperations,
    ...keyOperations,
    ...fenceOperations,
    ...tenantOperations,
    ...namespaceOperations,
    ...guardOperations,
    ...planOperations,
    ...limitOperations,
    ...switchOperations,
    ...switchEndOperations,
    ...volumeOperations,
    ...volumeChangeOperations,
    ...volumeMoveOperations,
    ...volumeHostOperations,
    ...storageReportOperations,
    ...nodeOperations,
    ...tokenOperations,
    ...probeOperations,
    ...dropOperations(createDropLog()),
    ...auditOperations,
  ];
  return [...operations, openapiOperation(operations, version)];
}

function farDoor(store: Store, pem: string): Door {
  return {
    tls: { key: pem, cert: pem },
    identify: (authorization) => authenticate(store, authorization),
  };
}

/** The socket is private, so whoever comes through it is root: no token is asked. */
async function listenHere(app: FastifyInstance, runDir: string): Promise<void> {
  await app.ready();
  await listenPrivately(app.server, path.join(runDir, 'server.sock'));
}

async function listenAfar(app: FastifyInstance, listen: string): Promise<string> {
  const colon = listen.lastIndexOf(':');
  try {
    await app.listen({ host: listen.slice(0, colon), port: Number(listen.slice(colon + 1)) });
  } catch (cause) {
    throw cannotListen(listen, cause);
  }
  const bound = app.server.address();
  return bound !== null && typeof bound === 'object' ? `${bound.address}:${bound.port}` : listen;
}

function cannotListen(listen: string, cause: unknown): SluiceError {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE') {
    const hint = 'stop what listens there, or choose another port with --listen';
    return new SluiceError('port_taken', `${listen} is in use`, hint, { cause });
  }
  const hint = 'the address must be one of this machine';
  return new SluiceError('invalid_environment', `cannot listen on ${listen}: ${message}`, hint, { cause });
}

async function closeApp(app: FastifyInstance): Promise<void> {
  const closed = app.server.listening ? closeServer(app.server) : Promise.resolve();
  await Promise.all([app.close(), closed]);
}
