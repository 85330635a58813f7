/** The role `netd`: puts its parts together and opens its socket. */
import path from 'node:path';
import { parseRequest } from '../cni/request.ts';
import { NEWEST_CNI_VERSION } from '../cni/version.ts';
import type { ApiClient } from '../linux/api-client.ts';
import { localClient } from '../linux/api-client.ts';
import { readCapacity } from '../linux/capacity.ts';
import type { Clock } from '../linux/clock.ts';
import { findLink } from '../linux/links.ts';
import { serveLocal } from '../linux/local-api.ts';
import type { NodeView } from '../model/cluster-changes.ts';
import { asSluiceError, type SluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import type { MarkMask } from '../model/mark.ts';
import type { IfName, NodeName } from '../model/names.ts';
import { openCgroupKeeper } from '../qos/cgroup/keeper.ts';
import { openRateKeeper } from '../qos/rates/keeper.ts';
import { followCluster } from '../store/cluster-client.ts';
import { openSqliteStore } from '../store/sqlite.ts';
import type { Netd } from './context.ts';
import type { Checkpoint } from './endpoint-apply.ts';
import { type NodeFacts, nodeFacts, nodeGuards } from './facts.ts';
import { type FlowLimits, refusedFlows } from './flow-limits.ts';
import { type Kernel, openKernel } from './kernel.ts';
import { createKeyedLock } from './keyed-lock.ts';
import { meantRates } from './limits/meant-rates.ts';
import { startLimits } from './limits/start.ts';
import { ANSWER_WITHIN_MS } from './limits/volume-keeper.ts';
import { netdMetrics } from './metrics.ts';
import { followPlane } from './plane-feed.ts';
import { createProbeKeeper } from './probes.ts';
import { rateSiteOf } from './rate-site.ts';
import { type ReconcileMemory, reconcile } from './reconcile.ts';
import { createReconciler } from './reconciler.ts';
import { openRegistry } from './registry.ts';
import { netdRoutes } from './server.ts';
import { clusterServices, type Service } from './service-ports.ts';
import { startViews } from './views.ts';
import { startWatch } from './watch.ts';

/** One garbage-collection round: a container that vanished without DEL holds its addresses no longer. */
const RECONCILE_EVERY_MS = 30_000;

export interface NetdOptions {
  readonly node: NodeName;
  readonly uplink: IfName;
  /** Where netd.sock goes, and where tagqueue.sock is. */
  readonly runDir: string;
  /** Where netd.sqlite is kept. */
  readonly stateDir: string;
  /** The cluster's server: its socket on its own machine, else over TLS. */
  readonly server: ApiClient;
  /** TCP addresses that containers must not reach through NAT. */
  readonly services: readonly Service[];
  readonly cooldownMs: number;
  /** The bits of the packet mark that are ours. */
  readonly markMask: MarkMask;
  /** UDP port of the tunnel between hosts. */
  readonly vxlanPort: number;
  /** Of the kernel's connection tracking, how much one container and one tenant may take. */
  readonly flowLimits: FlowLimits;
  /** Whether this node has an lxcfs. */
  readonly views: boolean;
  readonly checkpoint: Checkpoint;
  /** By which switches open and end. */
  readonly clock: Clock;
  readonly log: Log;
}

export interface RunningNetd {
  /** Leaves everything in the kernel as it is: containers run on, fenced. */
  close(): Promise<void>;
}

/** The file that holds endpoints, reservations and the last known cluster. */
export function netdStorePath(stateDir: string): string {
  return path.join(stateDir, 'netd.sqlite');
}

/** @throws SluiceError when records cannot be read or the socket cannot be opened. */
export async function runNetd(options: NetdOptions): Promise<RunningNetd> {
  const { node, log } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  // Durable enough: what a power cut takes from the records, it took from the kernel as well.
  const store = openSqliteStore(netdStorePath(options.stateDir), { durability: 'normal' });
  const registry = await openRegistry({ store, now: Date.now, cooldownMs: options.cooldownMs });
  const kernel = openKernel();
  const cluster = await followCluster({ client: options.server, store, node, signal, log });
  const plane = followPlane(
    localClient(path.join(options.runDir, 'tagqueue.sock')),
    options.markMask,
    signal,
    () => reconciler.request(),
    log,
  );

  let facts: NodeFacts | undefined;
  const site = rateSiteOf(
    () => plane.current(),
    () => facts,
    registry,
    kernel.route,
  );
  const rates = meantRates(
    openRateKeeper(kernel.route, site),
    () => cluster.current()?.defaults.meaning ?? 'wire',
    site.mtu,
  );
  const limits = await startLimits({
    ...{ node, store, clock: options.clock, server: options.server, signal, log },
    storaged: localClient(path.join(options.runDir, 'storaged.sock'), { timeoutMs: ANSWER_WITHIN_MS }),
    ...{ cgroups: openCgroupKeeper(), rates: () => (plane.current() && facts ? rates : undefined) },
    capacity: () => readCapacity(options.uplink),
    view: () => cluster.current(),
    endpoints: () => registry.all(),
  });
  /** For which gear of the plane the node was made as it should be; undefined: not yet. */
  let settledFor: boolean | undefined;
  let trouble: SluiceError | undefined;
  const memory: ReconcileMemory = { rules: undefined, guards: '' };
  const netd: Netd = {
    ...{ kernel, registry, locks: createKeyedLock(), checkpoint: options.checkpoint, now: Date.now, log },
    markMask: options.markMask,
    vxlanPort: options.vxlanPort,
    flowLimits: options.flowLimits,
    limits: limits.endpoints,
    views: { enabled: options.views },
    view: () => cluster.current(),
    facts: () => facts,
    plane: () => plane.current(),
    settled: () => settledFor !== undefined && settledFor === plane.current()?.flows,
    trouble: () => trouble,
    services: () => [
      ...options.services,
      ...clusterServices(cluster.current(), { ...options, flows: plane.current()?.flows === true }),
    ],
  };
  const reconciler = createReconciler(
    RECONCILE_EVERY_MS,
    async () => {
      const flows = plane.current()?.flows;
      facts = (await learnFacts(kernel, cluster.current(), options)) ?? facts;
      const report = await reconcile(netd, store, memory).catch((error: unknown) => {
        trouble = asSluiceError(error);
        throw error;
      });
      settledFor = flows;
      limits.request();
      return report;
    },
    log,
  );
  const probes = createProbeKeeper(netd, options.server);
  const views = await startViews({ ...options, enabled: options.views, endpoints: () => registry.all() });
  const watch = await startWatch({
    ...{ store, registry, nft: kernel.nft, table: () => facts?.table, log },
  });
  const metrics = netdMetrics(
    registry,
    limits.keeper,
    (direction) => (facts === undefined ? 0 : refusedFlows(kernel.nft, facts.table, direction)),
    (into) => watch.register(into),
  );
  const api = await serveLocal(
    path.join(options.runDir, 'netd.sock'),
    [...watch.routes, ...views.routes, ...netdRoutes(netd, limits, reconciler, metrics)],
    log,
  );

  void followChanges(cluster.changes(), (view) => {
    limits.request();
    reconciler.request();
    probes.keep([...view.probes.values()]);
  });
  rehearse();
  reconciler.request();
  log.info({ node, endpoints: registry.all().length }, 'netd is up');

  return {
    async close(): Promise<void> {
      stopping.abort();
      await api.close();
      await limits.stop();
      await views.close();
      await watch.close();
      await reconciler.stop();
      await probes.close();
      await rates.close();
      await store.close();
      kernel.close();
    },
  };
}

/** The first request costs 9 ms of compiling schemas, later ones 0.02: better now than in the first ADD. */
function rehearse(): void {
  const env = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'none', CNI_NETNS: '/none', CNI_IFNAME: 'eth0' };
  parseRequest(env, JSON.stringify({ cniVersion: NEWEST_CNI_VERSION, name: 'none', type: 'none' }));
}

/** @returns undefined as long as the server has not named this node's blocks, or the uplink is away. */
async function learnFacts(
  kernel: Kernel,
  view: NodeView | undefined,
  { node, uplink }: NetdOptions,
): Promise<NodeFacts | undefined> {
  const self = view?.nodes.get(node);
  const link = await findLink(kernel.route, uplink);
  const guards = view && nodeGuards(node, view.guards.values(), view.tenants);
  return view && self && link && nodeFacts(self, view.settings, uplink, link.mtu, guards);
}

async function followChanges(
  changes: AsyncIterable<NodeView>,
  tell: (view: NodeView) => void,
): Promise<void> {
  for await (const view of changes) tell(view);
}
