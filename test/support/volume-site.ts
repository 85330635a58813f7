/** One machine's storage without storaged: a Gluster of its own with a volume of a single brick, and a keeper of mounts. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { IMAGE, type Podman, podmanOn, removeContainers } from '../../cli/sample/podman.ts';
import { translatorPieces } from '../../cli/translator-pieces.ts';
import { thisCheckout } from '../../lab/checkout.ts';
import { findClients, type LiveClient } from '../../linux/gluster-client.ts';
import { unmountBelow } from '../../linux/mounts.ts';
import { type Argv, type RunOptions, runOk } from '../../linux/process.ts';
import { type Log, silentLog } from '../../model/log.ts';
import type { ContainerId, TenantName } from '../../model/names.ts';
import { glusterName, type VolumeId } from '../../model/volume.ts';
import type { VolumeEvent } from '../../model/volume-report.ts';
import type { GlusterDaemon, MountKeeper, MountWish } from '../../storaged/contract.ts';
import { createGlusterDaemon } from '../../storaged/gluster/daemon.ts';
import { type MountKeeperOptions, openMountKeeper } from '../../storaged/mounts/keeper.ts';
import { SOURCE_PREFIX } from '../../storaged/mounts/names.ts';
import { type BucketFiles, openSharedBuckets } from '../../storaged/mounts/shared-buckets.ts';
import type { Store } from '../../store/contract.ts';
import { openSqliteStore } from '../../store/sqlite.ts';
import { shellImage } from '../runtimes/images.ts';
import { inspect } from '../runtimes/podman.ts';

export interface VolumeSite {
  readonly directory: string;
  readonly hostDir: string;
  readonly clientDir: string;
  readonly daemon: GlusterDaemon;
  readonly shares: BucketFiles;
  /** What keepers have told. */
  readonly events: readonly VolumeEvent[];
  /** The directory in which a volume's only brick has its files. */
  brickOf(volume: VolumeId): string;
  makeVolume(volume: VolumeId): Promise<void>;
  /** Whoever opens it closes it. */
  openKeeper(log?: Log): Promise<MountKeeper>;
  close(): Promise<void>;
}

export const VOLUME = 'v0123456789ab' as VolumeId;

export const wishOf = (container: string, more: Partial<MountWish> = {}): MountWish => ({
  ...{ volume: VOLUME, container: container as ContainerId, tenant: 'blue' as TenantName },
  ...{ subDirectory: null, readOnly: false, limits: {}, into: null, sizeBytes: 2 ** 30, effective: {} },
  ...more,
});

/** Makes what is missing; what another process has made of the same site is found. */
export async function openParts(
  directory: string,
): Promise<Omit<MountKeeperOptions, 'log' | 'store'> & { daemon: GlusterDaemon; shares: BucketFiles }> {
  const clientDir = `${directory}/clients`;
  mkdirSync(clientDir, { recursive: true });
  const { object, filter } = translatorPieces();
  const daemon = createGlusterDaemon({
    ...{ directory: `${directory}/gluster`, visible: [clientDir], uplink: null },
    additions: { 'xlator/features/sluice-io.so': object, 'filter/sluice-io': filter },
  });
  const shares = await openSharedBuckets(clientDir);
  const gluster = async (): Promise<GlusterDaemon> => {
    await daemon.ensure();
    return daemon;
  };
  const places = { hostDir: `${directory}/volumes`, clientDir };
  return { ...{ daemon, shares, places, gluster }, parents: shares.filesOf, servers: undefined };
}

export function openStore(directory: string): Store {
  return openSqliteStore(`${directory}/storaged.sqlite`, { durability: 'normal' });
}

export async function openVolumeSite(name: string): Promise<VolumeSite> {
  const directory = mkdtempSync(`/tmp/${name}-`);
  const { daemon, shares, ...parts } = await openParts(directory);
  await daemon.ensure();
  const gluster = (...args: readonly string[]): Promise<string> =>
    runOk(daemon.inside(['gluster', '--mode=script', ...args]));
  const brickOf = (volume: VolumeId): string => `${directory}/bricks/${volume}`;
  const events: VolumeEvent[] = [];
  const stores: Store[] = [];
  return {
    ...{ directory, daemon, shares, events, brickOf },
    ...parts.places,
    async makeVolume(volume) {
      mkdirSync(path.dirname(brickOf(volume)), { recursive: true });
      await gluster('volume', 'create', glusterName(volume), `${daemon.address}:${brickOf(volume)}`, 'force');
      await gluster('volume', 'set', glusterName(volume), 'network.ping-timeout', '3');
      await gluster('volume', 'start', glusterName(volume));
    },
    async openKeeper(log = silentLog) {
      const store = openStore(directory);
      stores.push(store);
      return openMountKeeper({ ...parts, store, log, onEvent: (event) => events.push(event) });
    },
    async close() {
      for (const store of stores) await store.close();
      for (const { id } of clientsOf({ directory })) process.kill(id.pid, 'SIGKILL');
      await daemon.stop();
      unmountBelow(parts.places.hostDir);
      // podman tidies up after its containers when they are long gone.
      rmSync(directory, { recursive: true, maxRetries: 20, retryDelay: 50 });
    },
  };
}

/** podman with a storage of its own, for containers without a network. */
export interface SitePodman {
  readonly podman: Podman;
  /** @returns the container's first process */
  start(name: string, options?: readonly string[]): Promise<number>;
  close(): Promise<void>;
}

export async function podmanAt({ directory }: Pick<VolumeSite, 'directory'>): Promise<SitePodman> {
  const home = {
    runDir: `${directory}/node/run`,
    netns: '/proc/self/ns/net',
    exec: (argv: Argv, options: RunOptions = {}): Promise<string> =>
      runOk(argv, { ...options, env: { ...process.env, ...options.env } }),
  };
  const podman = podmanOn(home, [], path.dirname(thisCheckout().plugin));
  await podman.load((await shellImage()).archive);
  return {
    podman,
    async start(name, options = []) {
      const how = ['--detach', '--network', 'none', '--name', name];
      await podman.call(['run', ...how, ...options, IMAGE, 'sleep', '2147483647']);
      return (await inspect(podman, name)).State.Pid;
    },
    close: () => removeContainers(`${directory}/node`),
  };
}

/** Gluster clients of the site that live. */
export function clientsOf({ directory }: Pick<VolumeSite, 'directory'>): LiveClient[] {
  const all = findClients((source) => source.startsWith(SOURCE_PREFIX));
  return all.flatMap(({ root, live }) => (root.startsWith(`${directory}/`) && live ? [live] : []));
}
