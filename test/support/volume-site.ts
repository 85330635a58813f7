/** One machine's storage without storaged: a glusterd in namespaces of its own, with a volume of a single brick. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { IMAGE, type Podman, podmanOn, removeContainers } from '../../cli/sample/podman.ts';
import { thisCheckout } from '../../lab/checkout.ts';
import { findClients, type LiveClient } from '../../linux/gluster-client.ts';
import { unmountBelow } from '../../linux/mounts.ts';
import { openNetns } from '../../linux/netns.ts';
import type { RunOptions } from '../../linux/process.ts';
import { type Argv, processesInNetns, run, runOk, startDaemon, stopProcess } from '../../linux/process.ts';
import { Ipv4 } from '../../model/addresses.ts';
import { type Log, silentLog } from '../../model/log.ts';
import type { ContainerId, TenantName } from '../../model/names.ts';
import type { VolumeId } from '../../model/volume.ts';
import { glusterName } from '../../model/volume.ts';
import type { VolumeEvent } from '../../model/volume-report.ts';
import type { MountKeeper, MountWish } from '../../storaged/contract.ts';
import { openMountKeeper } from '../../storaged/mounts/keeper.ts';
import { SOURCE_PREFIX } from '../../storaged/mounts/names.ts';
import { openSqliteStore } from '../../store/sqlite.ts';
import { shellImage } from '../runtimes/images.ts';
import { inspect } from '../runtimes/podman.ts';
import { until } from '../runtimes/until.ts';

export const SITE_ADDRESS = Ipv4.parse('10.99.0.1');

export const siteInside = (glusterd: number, argv: Argv): Argv => [
  'nsenter',
  `--target=${glusterd}`,
  '--net',
  '--mount',
  '--',
  ...argv,
];

export interface VolumeSite {
  readonly directory: string;
  readonly hostDir: string;
  readonly clientDir: string;
  readonly events: VolumeEvent[];
  readonly brickOf: (volume: VolumeId) => string;
  /** glusterd's process. */
  readonly glusterd: number;
  makeVolume(volume: VolumeId): Promise<void>;
  openKeeper(log?: Log): Promise<MountKeeper>;
  close(): Promise<void>;
}

export const VOLUME = 'v0123456789ab' as VolumeId;

export const wishOf = (container: string, more: Partial<MountWish> = {}): MountWish => ({
  ...{ volume: VOLUME, container: container as ContainerId, tenant: 'blue' as TenantName },
  ...{ subDirectory: null, readOnly: false, limits: {}, into: null, sizeBytes: 2 ** 30, effective: {} },
  ...more,
});

/** podman with a storage of its own, for containers without a network. */
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

export interface SitePodman {
  readonly podman: Podman;
  /** @returns the container's first process */
  start(name: string, options?: readonly string[]): Promise<number>;
  close(): Promise<void>;
}

/** Gluster clients of the site that live. */
export function clientsOf({ directory }: Pick<VolumeSite, 'directory'>): LiveClient[] {
  const all = findClients((source) => source.startsWith(SOURCE_PREFIX)).values();
  return [...all].filter(({ errands }) => errands.root.startsWith(`${directory}/`));
}

export async function openVolumeSite(name: string): Promise<VolumeSite> {
  const directory = mkdtempSync(`/tmp/${name}-`);
  for (const one of ['lib', 'log', 'bricks', 'clients']) mkdirSync(`${directory}/${one}`);
  const script = `
mkdir -p /var/lib/glusterd /var/log/glusterfs
mount --bind ${directory}/lib /var/lib/glusterd
mount --bind ${directory}/log /var/log/glusterfs
mount -t tmpfs none /run
ip link set lo up
ip address add ${SITE_ADDRESS}/32 dev lo
echo $$ >${directory}/pid
exec glusterd --no-daemon -p /run/glusterd.pid`;
  const daemon = await startDaemon(['unshare', '--net', '--mount', 'sh', '-euc', script], {
    logFile: `${directory}/out`,
  });
  const pid = daemon.id.pid;
  const inside = (argv: Argv): Argv => siteInside(pid, argv);
  const gluster = (...args: readonly string[]): Promise<string> =>
    runOk(inside(['gluster', '--mode=script', ...args]));
  await until(
    'glusterd answers',
    async () =>
      readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('glusterd') &&
      (await run(inside(['gluster', '--mode=script', 'volume', 'list']))).code === 0,
  );
  const events: VolumeEvent[] = [];
  const hostDir = `${directory}/volumes`;
  const clientDir = `${directory}/clients`;
  const stores: { close(): Promise<void> }[] = [];
  return {
    ...{ directory, hostDir, clientDir, events, glusterd: pid },
    brickOf: (volume) => `${directory}/bricks/${volume}`,
    async makeVolume(volume) {
      const of = glusterName(volume);
      await gluster('volume', 'create', of, `${SITE_ADDRESS}:${directory}/bricks/${volume}`, 'force');
      await gluster('volume', 'set', of, 'network.ping-timeout', '3');
      await gluster('volume', 'start', of);
    },
    async openKeeper(log = silentLog) {
      const store = openSqliteStore(`${directory}/storaged.sqlite`, { durability: 'normal' });
      stores.push(store);
      return openMountKeeper({
        ...{ store, log, parents: undefined, servers: undefined, places: { hostDir, clientDir } },
        gluster: async () => ({ address: SITE_ADDRESS, inside }),
        onEvent: (event) => events.push(event),
      });
    },
    async close() {
      for (const store of stores) await store.close();
      const netns = openNetns(`/proc/${pid}/ns/net`);
      for (const one of processesInNetns(netns.path)) await stopProcess(one, 500);
      netns[Symbol.dispose]();
      unmountBelow(hostDir);
      // podman tidies up after its containers when they are long gone.
      rmSync(directory, { recursive: true, maxRetries: 20, retryDelay: 50 });
    },
  };
}
