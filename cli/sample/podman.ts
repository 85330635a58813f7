/** podman on one node of a lab: storage, networks and containers of its own, by its CNI backend and our plugin. */
import path from 'node:path';
import type { LabNode } from '../../lab/node.ts';
import { removeCgroup } from '../../linux/cgroups.ts';
import { writeAtomically } from '../../linux/files.ts';
import { run, runOk } from '../../linux/process.ts';

export interface Podman {
  load(archive: string): Promise<void>;
  /** Starts a container on the tenant's network. */
  start(tenant: string, name: string, options: readonly string[], command: readonly string[]): Promise<void>;
  exec(name: string, command: readonly string[]): Promise<string>;
  /** Whatever else podman can do, such as ['ps', '--all']. It must succeed. @param env  besides the node's */
  call(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<string>;
  /** The line that a person would type to run podman here. */
  readonly commandLine: string;
}

export const IMAGE = 'localhost/sluice-sample:1';
const TIMEOUT_MS = 60_000;
/** Of all containers of the sample. */
const CGROUP = '/sluice-sample';
/** None for conmon: nothing would take it away again. */
const CGROUPS = ['--cgroups', 'no-conmon', '--cgroup-parent', CGROUP];
/** podman 4.3 knows no later one for certain. */
const CNI_VERSION = '0.4.0';

/** Where podman runs, and below which directory it keeps everything. */
export type PodmanHome = Pick<LabNode, 'exec' | 'netns' | 'runDir'>;

/** @param plugins  the directory of bin/sluice-cni */
export function podmanOn(node: PodmanHome, tenants: readonly string[], plugins: string): Podman {
  const home = homeOf(path.dirname(node.runDir));
  writeConfiguration(home, plugins);
  for (const tenant of tenants) {
    writeAtomically(`${home}/networks/${tenant}.conflist`, JSON.stringify(networkOf(tenant, node.runDir)));
  }
  const podman = [...globalArguments(home)] as const;
  const env = environmentOf(home);
  const call = ([verb = '', ...args]: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<string> =>
    node.exec([...podman, verb, ...(verb === 'run' ? CGROUPS : []), ...args], {
      env: { ...env, ...more },
      timeoutMs: TIMEOUT_MS,
    });
  return {
    load: async (archive) => void (await call(['load', '--quiet', '--input', archive])),
    start: async (tenant, name, options, command) => {
      const who = ['--name', name, '--hostname', name, '--network', tenant];
      const how = ['--detach', ...who, '--cap-add', 'NET_RAW'];
      await call(['run', ...how, ...options, IMAGE, ...command]);
    },
    exec: (name, command) => call(['exec', name, ...command]),
    call,
    commandLine: `nsenter --net=${node.netns} env CONTAINERS_CONF=${home}/containers.conf ${podman.join(' ')}`,
  };
}

/**
 * Ends and removes all containers of a node, also those of a run that was killed; without podman there are none.
 * @param directory  of the node
 */
export async function removeContainers(directory: string): Promise<void> {
  const home = homeOf(directory);
  const all = ['rm', '--all', '--force', '--time', '0', '--volumes'];
  await run([...globalArguments(home), ...all], {
    env: { ...process.env, ...environmentOf(home) },
    timeoutMs: TIMEOUT_MS,
  });
  removeCgroup(CGROUP);
}

/** What is true of podman's own files, it must not find in the machine's. */
function globalArguments(home: string): [string, ...string[]] {
  const places = ['--root', `${home}/storage`, '--runroot', `${home}/run`, '--tmpdir', `${home}/tmp`];
  return ['podman', ...places, '--storage-driver', 'vfs'];
}

function environmentOf(home: string): NodeJS.ProcessEnv {
  return { CONTAINERS_CONF: `${home}/containers.conf` };
}

function homeOf(directory: string): string {
  return `${directory}/podman`;
}

function writeConfiguration(home: string, plugins: string): void {
  const text = `
[containers]
default_ulimits = ["nofile=1024:20000", "nproc=10000:10000"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
[network]
network_backend = "cni"
cni_plugin_dirs = ["${plugins}"]
network_config_dir = "${home}/networks"
`;
  writeAtomically(`${home}/containers.conf`, text);
}

function networkOf(tenant: string, runDir: string): object {
  const capabilities = { portMappings: true, ips: true, mac: true, aliases: true };
  return {
    cniVersion: CNI_VERSION,
    name: tenant,
    plugins: [{ type: 'sluice-cni', runDir, tenant, capabilities }],
  };
}

/** Makes the image once; it is the same on every machine of a kind. @param script  test/images/busybox.sh */
export async function makeImage(script: string, archive: string): Promise<void> {
  await runOk(['sh', script, IMAGE, archive], { timeoutMs: TIMEOUT_MS });
}
