/** Containers of containerd's pods see their own CPUs and memory: each its own, also within one pod. Needs root and lxcfs. */
import { createLab, type Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { type Containerd, containerdOn, endContainerd } from '../runtimes/containerd.ts';
import type { ContainerConfig, PodConfig } from '../runtimes/cri.ts';
import { pauseImage, shellImage } from '../runtimes/images.ts';
import { exampleNetwork } from '../runtimes/page.ts';
import { until } from '../runtimes/until.ts';

const MIB = 2 ** 20;
const FOREVER = ['sleep', '2147483647'];
let lab: Lab;
let a: LabNode;
let containerd: Containerd;
let image: string;
let pod: PodConfig;
let sandbox: string;

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test makes network namespaces: run it as root');
  lab = await createLab({ prefix: 'viewpod', nodes: ['a'], beforeRemoval: endContainerd });
  a = lab.node('a');
  await lab.start({ views: { lxcfs: 'on' } });
  await lab.tenant('blue');
  const network = exampleNetwork("containerd, the pods' network", {
    ...{ runDir: a.runDir, tenant: 'blue', views: true },
  });
  const shell = await shellImage();
  image = shell.name;
  containerd = await containerdOn(a, network, await pauseImage());
  await containerd.load(shell);
  const metadata = { name: 'cart', uid: 'uid-cart', namespace: 'team', attempt: 0 };
  pod = { metadata, hostname: 'cart', linux: { cgroupParent: containerd.cgroupParent } };
  sandbox = (await containerd.call('RunPodSandbox', { config: pod })).podSandboxId;
});
afterAll(async () => {
  await containerd?.stop();
  await lab?.close();
});

async function started(name: string, mib: number, more: Partial<ContainerConfig> = {}): Promise<string> {
  const config: ContainerConfig = {
    ...{ metadata: { name, attempt: 0 }, image: { image }, command: FOREVER, ...more },
    linux: {
      resources: { cpuPeriod: 100_000, cpuQuota: 100_000, memoryLimitInBytes: mib * MIB },
      // As the kubelet does unless a pod shares its process namespace.
      securityContext: { namespaceOptions: { pid: 'CONTAINER' } },
    },
  };
  const request = { podSandboxId: sandbox, config, sandboxConfig: pod };
  const { containerId } = await containerd.call('CreateContainer', request);
  await containerd.call('StartContainer', { containerId });
  return containerId;
}

async function figuresIn(containerId: string): Promise<{ memory: number; cpus: number }> {
  const cmd = ['cat', '/proc/meminfo', '/proc/cpuinfo'];
  const { stdout } = await containerd.call('ExecSync', { containerId, cmd, timeout: 10 });
  const text = stdout.toString();
  return {
    memory: Number(/^MemTotal: +(\d+) kB$/m.exec(text)?.[1]),
    cpus: text.split('\n').filter((line) => line.startsWith('processor')).length,
  };
}

it('shows each container of a pod what it was given itself', async () => {
  const [web, shell] = [await started('web', 80), await started('shell', 120)];
  await until('both are shown their own figures', async () => {
    const [one, other] = [await figuresIn(web), await figuresIn(shell)];
    return one.memory === 80 * 1024 && other.memory === 120 * 1024;
  });
  expect(await figuresIn(web)).toEqual({ memory: 80 * 1024, cpus: 1 });
  expect(await figuresIn(shell)).toEqual({ memory: 120 * 1024, cpus: 1 });
});

it('can be had from the first instruction on, as mounts of the container', async () => {
  const mounts = ['/proc/meminfo', '/proc/cpuinfo'].map((file) => ({
    ...{ containerPath: file, hostPath: `${a.runDir}/lxcfs${file}`, readonly: true },
  }));
  const early = await started('early', 64, { mounts });
  expect(await figuresIn(early)).toEqual({ memory: 64 * 1024, cpus: 1 });
});
