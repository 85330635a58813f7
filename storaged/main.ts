/** The role `storaged`: puts its parts together and opens its socket. */
import path from 'node:path';
import { type ApiClient, localClient } from '../linux/api-client.ts';
import { serveLocal } from '../linux/local-api.ts';
import type { Ipv4 } from '../model/addresses.ts';
import type { NodeView } from '../model/cluster-changes.ts';
import { SluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import type { NodeName } from '../model/names.ts';
import type { Volume } from '../model/volume.ts';
import type { BrickReport, VolumeEvent } from '../model/volume-report.ts';
import { type RecoverLine, type RecoverWish, VolumeShown } from '../model/volume-request.ts';
import { followCluster } from '../store/cluster-client.ts';
import type { Store } from '../store/contract.ts';
import { createLatest } from '../tagqueue/latest.ts';
import type { Checkpoint } from './apply.ts';
import { watchBricks } from './brick-watch.ts';
import { knowContainers } from './containers.ts';
import { volumeOptions } from './gluster/options.ts';
import { watchGluster } from './gluster-watch.ts';
import { heldLimits } from './held-limits.ts';
import { StorageKeeper } from './keeper.ts';
import { mountNews } from './mount-news.ts';
import { mountVolume } from './mounting.ts';
import { hasMounts, type PartsWorld } from './open-parts.ts';
import { lazyParts, type PartMakers } from './parts.ts';
import { createPicture } from './picture.ts';
import type { GlusterOptions } from './plan.ts';
import { reportStorage } from './reports.ts';
import { storagedRoutes } from './server.ts';
import { keepMounts } from './upkeep.ts';
import { watchVolumes } from './volume-watch.ts';

export interface StoragedOptions {
  readonly node: NodeName;
  /** Where storaged.sock goes, and where netd.sock is. */
  readonly runDir: string;
  readonly server: ApiClient;
  /** Where the last known cluster is kept. */
  readonly store: Store;
  parts(world: PartsWorld): PartMakers;
  /** Whether only this machine reaches its Gluster. */
  readonly isPrivate: boolean;
  readonly tls: boolean;
  /** Where Gluster reaches this node's bricks; undefined: it is no storage node, or not known yet. */
  address(): Ipv4 | undefined;
  /** Reads what is on bricks when Gluster cannot. */
  recover(wish: RecoverWish, volumes: NodeView['volumes'], signal: AbortSignal): AsyncIterable<RecoverLine>;
  readonly checkpoint: Checkpoint;
  readonly log: Log;
}

export interface RunningStoraged {
  /** Leaves everything as it is: glusterd, bricks and clients go on. */
  close(): Promise<void>;
}

/** @throws SluiceError when the socket cannot be opened. */
export async function runStoraged(options: StoragedOptions): Promise<RunningStoraged> {
  const { node, server, log, checkpoint, runDir } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const cluster = await followCluster({ client: server, store: options.store, node, signal, log });
  const view = (): NodeView | undefined => cluster.current();
  const tell = (event: VolumeEvent): void => reporter.tell(event);
  const parts = lazyParts(options.parts({ view, tell, store: options.store }));
  const changes = createLatest(0);
  const changed = (): void => {
    changes.set(changes.get() + 1);
    reporter.nudge();
  };
  const netd = localClient(path.join(runDir, 'netd.sock'), { timeoutMs: 3_000 });
  const containers = knowContainers(netd, path.join(runDir, 'storage', 'containers.json'));
  const now = (): number => performance.now();
  const keeper = new StorageKeeper({
    ...{ node, parts, checkpoint, log },
    view,
    told: (volume) => toldOf(server, volume),
    optionsOf: (volume, own) => glusterOptions(options, volume, view(), own),
    news: () => reporter.nudge(),
    now,
  });
  const watch = watchVolumes({
    ...{ parts, tell, now, log },
    coordinated: () => keeper.coordinated(),
    news: () => reporter.nudge(),
  });
  const isHost = (): boolean =>
    [...(view()?.volumes.values() ?? [])].some(({ hosts }) => hosts.includes(node));
  const bricks = watchBricks(parts, keeper, now);
  const picture = createPicture({ parts, keeper, bricks, watch, isHost, tell, address: options.address });
  const reporter = reportStorage(server, node, () => picture.report(), watch.hear, signal, log);
  const limits = heldLimits(() => parts.open.mounts, changed);
  const upkeep = keepMounts({ parts, containers, changed, signal, log });
  // What an earlier run has left goes on, and is looked after at once.
  if (await hasMounts(options.store)) await parts.mounts().catch((error: unknown) => upkeep.notYet(error));

  const api = await serveLocal(
    path.join(runDir, 'storaged.sock'),
    storagedRoutes({
      status: () => picture.status(node, cluster.current() !== undefined && reporter.heard()),
      mount: async (request) => {
        const mount = await mountVolume({ node, parts, server, containers, keeper, view }, request);
        changed();
        return mount;
      },
      unmount: async (id) => {
        await parts.open.mounts?.keeper.unmount(id);
        containers.unmounted(id);
        changed();
      },
      mounts: () => limits.all(),
      followMounts: (until) => mountNews(changes.follow(until), limits.all, until),
      statistics: async (id) => {
        const mounts = parts.open.mounts ?? noMount(id);
        return mounts.keeper.statistics(id);
      },
      limits,
      metrics: () => picture.metrics(),
      recover: (wish, aborted) => options.recover(wish, view()?.volumes ?? new Map(), aborted),
    }),
    log,
  );
  void watchGluster(parts, () => keeper.request(), signal, log);
  void followChanges(cluster.changes(), ({ volumes }) => {
    keeper.request();
    void upkeep.follow(volumes);
  });
  log.info({ node }, 'storaged is up');

  return {
    async close(): Promise<void> {
      stopping.abort();
      await api.close();
      await keeper.stop();
      await upkeep.stop();
      await parts.open.mounts?.keeper.close();
      netd.close();
      await options.store.close();
    },
  };
}

/** Who may come, by the addresses by which they come. */
function glusterOptions(
  { isPrivate, tls }: StoragedOptions,
  { hosts, bricks }: Volume,
  view: NodeView | undefined,
  own: Ipv4 | undefined,
): GlusterOptions {
  const addresses = isPrivate ? [own] : hosts.map((host) => view?.nodes.get(host)?.uplinkAddress);
  const known = addresses.filter((address) => address !== undefined);
  const brickBytes = Math.max(...bricks.map(({ bytes }) => bytes));
  return volumeOptions({ hosts: known, tls, brickBytes });
}

async function toldOf(server: ApiClient, { id }: Volume): Promise<readonly (BrickReport | undefined)[]> {
  const shown = VolumeShown.parse(await server.request('GET', `/v1/volumes/${id}`));
  return shown.bricks.map(({ brick }) => brick ?? undefined);
}

async function followChanges(views: AsyncIterable<NodeView>, tell: (view: NodeView) => void): Promise<void> {
  for await (const view of views) tell(view);
}

function noMount(id: string): never {
  throw new SluiceError('not_found', `there is no mount ${id} on this node`, 'see `sluice volume show`');
}
