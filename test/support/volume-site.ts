/** One machine's storage without storaged: a Gluster of its own with a volume of a single brick, and a keeper of mounts. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { IMAGE, type Podman, podmanOn, removeContainers } from '../../cli/sample/podman.ts';
import { translatorPieces } from '../../cli/translator-pieces.ts';
import { thisCheckout } from '../../lab/checkout.ts';
import { namesIn } from '../../linux/directories.ts';
import { readTextIfThere } from '../../linux/files.ts';
import { findClients, killClient, type LiveClient } from '../../linux/gluster-client.ts';
import { mountsOf } from '../../linux/mount-table.ts';
import { unmountBelow } from '../../linux/mounts.ts';
import { type Argv, type RunOptions, runOk } from '../../linux/process.ts';
import type { Log } from '../../model/log.ts';
import type { ContainerId, TenantName } from '../../model/names.ts';
import { glusterName, type VolumeId } from '../../model/volume.ts';
import type { VolumeEvent } from '../../model/volume-report.ts';
import type { GlusterDaemon, Mount, MountKeeper, MountWish } from '../../storaged/contract.ts';
import { createGlusterDaemon } from '../../storaged/gluster/daemon.ts';
import { type MountKeeperOptions, openMountKeeper } from '../../storaged/mounts/keeper.ts';
import { clientIdOf, clientPlace, SOURCE_PREFIX } from '../../storaged/mounts/names.ts';
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
  openKeeper(): Promise<MountKeeper>;
  /** What a person would ask for who has to find out why a test has failed. */
  story(): string;
  /** Done when the site is closed, before what it was opened with goes. */
  readonly left: AsyncDisposableStack;
}

// As bin/sluice has it: Node starts in a third of the time with the sources compiled.
process.env['NODE_COMPILE_CACHE'] ??= path.resolve(import.meta.dirname, '../../build/compile-cache');

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
  const { object, filter, patience } = translatorPieces();
  const daemon = createGlusterDaemon({
    ...{ directory: `${directory}/gluster`, visible: [clientDir], uplink: null, preload: patience },
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
  // Whatever fails, the rest is done all the same: what stays would be taken for a stray of the next test.
  const left = new AsyncDisposableStack();
  // podman tidies up after its containers when they are long gone.
  left.defer(() => rmSync(directory, { recursive: true, maxRetries: 20, retryDelay: 50 }));
  const { daemon, shares, ...parts } = await openParts(directory);
  left.defer(() => unmountBelow(parts.places.hostDir));
  left.defer(() => daemon.stop());
  left.defer(() => {
    for (const { id } of clientsOf({ directory })) killClient(id);
  });
  const gluster = (...args: readonly string[]): Promise<string> =>
    runOk(daemon.inside(['gluster', '--mode=script', ...args]));
  const brickOf = (volume: VolumeId): string => `${directory}/bricks/${volume}`;
  const events: VolumeEvent[] = [];
  const lines: string[] = [];
  const site: VolumeSite = {
    ...{ directory, daemon, shares, events, brickOf, left },
    ...parts.places,
    async makeVolume(volume) {
      await daemon.ensure();
      mkdirSync(path.dirname(brickOf(volume)), { recursive: true });
      await gluster('volume', 'create', glusterName(volume), `${daemon.address}:${brickOf(volume)}`, 'force');
      await gluster('volume', 'set', glusterName(volume), 'network.ping-timeout', '3');
      await gluster('volume', 'start', glusterName(volume));
    },
    async openKeeper() {
      const store = openStore(directory);
      left.defer(() => store.close());
      const log = writingTo(lines);
      const keeper = await openMountKeeper({ ...parts, store, log, onEvent: (event) => events.push(event) });
      left.defer(() => keeper.close());
      return keeper;
    },
    story: () => storyOf(site, lines),
  };
  return site;
}

function writingTo(lines: string[]): Log {
  const note =
    (level: string) =>
    (fields: object, message: string): void => {
      lines.push(`${new Date().toISOString()} ${level} ${message} ${JSON.stringify(fields)}`);
    };
  return { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };
}

/** Lines of each log. */
const STORY_LINES = 40;

function storyOf({ directory, hostDir, clientDir, events }: VolumeSite, lines: readonly string[]): string {
  const logs = namesIn(clientDir).flatMap((client) => {
    const log = readTextIfThere(`${clientDir}/${client}/log`)?.split('\n').slice(-STORY_LINES) ?? [];
    return [`-- log of client ${client}`, ...log];
  });
  const processes = findClients((source) => source.startsWith(SOURCE_PREFIX))
    .filter(({ root }) => root.startsWith(`${directory}/`))
    .map(({ id, source, live }) => `${id.pid} ${source} ${live?.device ?? 'has nothing mounted'}`);
  const mounts = mountsOf('self')
    .filter(({ point }) => point.startsWith(hostDir))
    .map(({ id, device, point, source }) => `${id} ${device} ${source} at ${point}`);
  const parts = [
    ...['-- log of the keeper', ...lines.slice(-STORY_LINES)],
    ...['-- events', ...events.map(({ what, text }) => `${what}: ${text}`)],
    ...['-- clients', ...processes, '-- mounts', ...mounts, ...logs],
  ];
  return `${parts.join('\n')}\n`;
}

export interface SiteInUse {
  readonly site: VolumeSite;
  /** Opened for each test; one that is closed may be replaced by another. */
  keeper: MountKeeper;
  readonly podman: SitePodman;
  /** A test that tells the site's story if it fails. */
  it(name: string, body: () => Promise<void>): void;
}

/** Opens a site with one volume for the tests of a file, and a keeper for each; closes them whatever fails. */
export function useVolumeSite(name: string): SiteInUse {
  let site: VolumeSite | undefined;
  let podman: SitePodman | undefined;
  const use = {
    keeper: undefined as unknown as MountKeeper,
    get site() {
      return site!;
    },
    get podman() {
      return podman!;
    },
    it: (sentence: string, body: () => Promise<void>): void =>
      it(sentence, () =>
        body().catch((error: unknown) => {
          process.stderr.write(use.site.story());
          throw error;
        }),
      ),
  };
  beforeAll(async () => {
    if (process.getuid?.() !== 0) throw new Error('this test mounts file systems: run it as root');
    site = await openVolumeSite(name);
    await site.makeVolume(VOLUME);
    podman = await podmanAt(site);
  });
  beforeEach(async () => {
    use.keeper = await use.site.openKeeper();
  });
  afterEach(async () => {
    await use.keeper.keepOnly(() => false);
    const left = use.keeper.mounts().length;
    if (left > 0) process.stderr.write(use.site.story());
    await use.keeper.close();
    // The next test would take them for its own.
    expect(left).toBe(0);
  });
  afterAll(() => site?.left.disposeAsync());
  return use;
}

/** podman with a storage of its own, for containers without a network. */
export interface SitePodman {
  readonly podman: Podman;
  /** @returns the container's first process */
  start(name: string, options?: readonly string[]): Promise<number>;
}

async function podmanAt({ directory, left }: Pick<VolumeSite, 'directory' | 'left'>): Promise<SitePodman> {
  const home = {
    runDir: `${directory}/node/run`,
    netns: '/proc/self/ns/net',
    exec: (argv: Argv, options: RunOptions = {}): Promise<string> =>
      runOk(argv, { ...options, env: { ...process.env, ...options.env } }),
  };
  const podman = podmanOn(home, [], path.dirname(thisCheckout().plugin));
  left.defer(() => removeContainers(`${directory}/node`));
  await podman.load((await shellImage()).archive);
  return {
    podman,
    async start(name, options = []) {
      const how = ['--detach', '--network', 'none', '--name', name];
      await podman.call(['run', ...how, ...options, IMAGE, 'sleep', '2147483647']);
      return (await inspect(podman, name)).State.Pid;
    },
  };
}

/** The client that serves a mount; it must live. */
export function clientOf(site: VolumeSite, mount: Mount): LiveClient {
  const { source } = clientPlace(site, clientIdOf(site, mount));
  const found = findClients((one) => one === source).find(({ live }) => live !== undefined)?.live;
  if (found === undefined) throw new Error(`the client of mount ${mount.id} does not live`);
  return found;
}

/** Gluster clients of the site that live. */
export function clientsOf({ directory }: Pick<VolumeSite, 'directory'>): LiveClient[] {
  const all = findClients((source) => source.startsWith(SOURCE_PREFIX));
  return all.flatMap(({ root, live }) => (root.startsWith(`${directory}/`) && live ? [live] : []));
}
