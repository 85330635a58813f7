/** containerd on one node of a lab: root, state, socket, plugins and networks of its own. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { thisCheckout } from '../../lab/checkout.ts';
import type { LabNode } from '../../lab/node.ts';
import { identify, run, runOk, startDaemon, stopProcess } from '../../linux/process.ts';
import { type Cri, connectCri } from './cri.ts';
import type { Image } from './images.ts';
import { example } from './page.ts';
import { until } from './until.ts';

export interface Containerd extends Cri {
  /** How many pods it holds in processes and in mounted namespaces. */
  held(): Promise<{ readonly shims: number; readonly namespaces: number }>;
  /** Where it says what it does. */
  readonly logFile: string;
  /** Of its pods; the kubelet would choose it. */
  readonly cgroupParent: string;
  /** As `ctr images import` in the kubelet's namespace. */
  load(image: Image): Promise<void>;
  /** Pods go with it. */
  stop(): Promise<void>;
}

/** Debian's containernetworking-plugins; containerd itself needs `loopback` of them. */
const STANDARD_PLUGINS = '/usr/lib/cni';

/**
 * @param network  the configuration of the pods' network, as in /etc/cni/net.d
 * @param pause    the image of the pods' first process
 */
export async function containerdOn(node: LabNode, network: object, pause: Image): Promise<Containerd> {
  const home = homeOf(path.dirname(node.runDir));
  const socket = `${home}/containerd.sock`;
  const logFile = `${home}/log`;
  for (const name of ['plugins', 'networks']) mkdirSync(`${home}/${name}`, { recursive: true });
  symlinkSync(thisCheckout().plugin, `${home}/plugins/sluice-cni`);
  symlinkSync(`${STANDARD_PLUGINS}/loopback`, `${home}/plugins/loopback`);
  writeFileSync(`${home}/networks/10-sluice.conflist`, JSON.stringify(network));
  writeFileSync(`${home}/config.toml`, configuration(home, pause.name));
  // Not node.exec: it goes on, and a shell in between would outlive it.
  const argv = [
    'nsenter',
    `--net=${node.netns}`,
    '--',
    'containerd',
    '--config',
    `${home}/config.toml`,
  ] as const;
  const daemon = await startDaemon(argv, { logFile });
  writeFileSync(`${home}/pid`, String(daemon.id.pid));
  const ctr = ['ctr', '--address', socket, '--namespace', 'k8s.io'] as const;
  await until('containerd answers', async () => (await run([...ctr, 'version'])).code === 0);
  const cri = connectCri(socket);
  const load = async ({ archive }: Image): Promise<void> =>
    void (await runOk([...ctr, 'images', 'import', archive]));
  await load(pause);
  return {
    logFile,
    cgroupParent: cgroupOf(home),
    load,
    async held() {
      const shims = (await run(['pgrep', '-f', `^\\S*containerd-shim.* ${home}/`])).stdout;
      const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
      const netns = `${home}/state/io.containerd.grpc.v1.cri/netns/`;
      return {
        shims: shims.split('\n').filter((line) => line !== '').length,
        namespaces: mounts.filter((line) => line.includes(netns)).length,
      };
    },
    call: cri.call,
    close: cri.close,
    async stop() {
      await removePods(cri);
      cri.close();
      await daemon.stop();
      await removeCgroups(home);
    },
  };
}

async function removePods(cri: Cri): Promise<void> {
  const { items } = await cri.call('ListPodSandbox', {});
  for (const { id } of items) {
    await cri.call('StopPodSandbox', { podSandboxId: id });
    await cri.call('RemovePodSandbox', { podSandboxId: id });
  }
}

/**
 * Ends what an earlier run has left that was killed: containerd, its shims, and the pods that hang on them.
 * @param directory  of the node
 */
export async function endContainerd(directory: string): Promise<void> {
  const home = homeOf(directory);
  const tasks = `${home}/state/io.containerd.runtime.v2.task/k8s.io`;
  const containers = existsSync(tasks) ? readdirSync(tasks).map((name) => `${tasks}/${name}`) : [];
  const files = [`${home}/pid`, ...containers.flatMap((task) => [`${task}/shim.pid`, `${task}/init.pid`])];
  for (const file of files) {
    if (!existsSync(file)) continue;
    const pid = Number(readFileSync(file, 'utf8'));
    // The number may have been given again; what runs below the directory is ours.
    const id = identify(pid);
    if (id !== undefined && isOurs(pid, home)) await stopProcess(id);
  }
  await removeCgroups(home);
}

function isOurs(pid: number, home: string): boolean {
  return ['cmdline', 'mountinfo'].some((file) => readFileSync(`/proc/${pid}/${file}`, 'utf8').includes(home));
}

function homeOf(directory: string): string {
  return `${directory}/containerd`;
}

/** One for each home: the directory's path, as one name. */
function cgroupOf(home: string): string {
  return home.replaceAll('/', '-').replace(/^-/, '/');
}

/** Those of pods go with them, unless they were killed; the one around them is nobody's but ours. */
async function removeCgroups(home: string): Promise<void> {
  const root = '/sys/fs/cgroup';
  const hierarchies = [root, ...readdirSync(root).map((name) => `${root}/${name}`)];
  const groups = hierarchies
    .map((hierarchy) => `${hierarchy}${cgroupOf(home)}`)
    .filter((group) => existsSync(group));
  for (const group of groups) await until(`nothing runs in ${group}`, () => removeGroup(group));
}

/** @returns false while something in it still ends */
function removeGroup(group: string): boolean {
  const entries = readdirSync(group, { withFileTypes: true });
  const inner = entries.filter((entry) => entry.isDirectory()).map(({ name }) => `${group}/${name}`);
  try {
    if (!inner.every(removeGroup)) return false;
    rmdirSync(group);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
    throw error;
  }
}

function configuration(home: string, pause: string): string {
  const documented = example('containerd, its configuration');
  const cni = documented
    .replace('/opt/cni/bin', `${home}/plugins`)
    .replace('/etc/cni/net.d', `${home}/networks`);
  return `
version = 2
root = "${home}/root"
state = "${home}/state"
[grpc]
  address = "${home}/containerd.sock"
[ttrpc]
  address = "${home}/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "${home}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pause}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
${cni}
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  Root = "${home}/runc"
`;
}
