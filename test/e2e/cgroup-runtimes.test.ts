/** The groups that real runtimes make, found by what they tell the plugin. Needs root. */
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { type Podman, podmanOn, removeContainers } from '../../cli/sample/podman.ts';
import { thisCheckout } from '../../lab/checkout.ts';
import { createLab, type Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { processesIn, textOf } from '../../linux/cgroup-files.ts';
import { findHierarchies } from '../../linux/cgroup-hierarchies.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { ContainerId } from '../../model/names.ts';
import { openCgroupKeeper } from '../../qos/cgroup/keeper.ts';
import type { CgroupHints } from '../../qos/contract.ts';
import { type Containerd, containerdOn, endContainerd } from '../runtimes/containerd.ts';
import { pauseImage, shellImage } from '../runtimes/images.ts';
import { exampleNetwork } from '../runtimes/page.ts';
import { inspect, network } from '../runtimes/podman.ts';
import { tracesOn } from '../runtimes/traces.ts';

const FOREVER = ['sleep', '2147483647'];
const KEEP = { mayKill: false } as const;
const MIB = 2 ** 20;
const POD_UID = 'pod8a1b2c3d-0000-4444-8888-123456789abc';
const keeper = openCgroupKeeper();
let lab: Lab;
let a: LabNode;

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test makes network namespaces: run it as root');
  lab = await createLab({
    prefix: 'cgrun',
    nodes: ['a'],
    beforeRemoval: async (directory) => {
      await removeContainers(directory);
      await endContainerd(directory);
    },
  });
  a = lab.node('a');
  await lab.start();
  await lab.tenant('blue');
});
afterAll(() => lab?.close());

/** What netd knows of the newest container, as it would ask. */
async function hintsOf(containerId: string): Promise<CgroupHints> {
  const { endpoints } = await tracesOn(a);
  const endpoint = (endpoints as unknown as Endpoint[]).find((one) => one.containerId === containerId)!;
  const { cgroupPath, netns } = endpoint;
  return { containerId: containerId as ContainerId, cgroupPath, netnsInode: statSync(netns).ino };
}

describe('podman', () => {
  let podman: Podman;

  beforeAll(async () => {
    podman = podmanOn(a, ['blue'], path.dirname(thisCheckout().plugin));
    network(a, 'blue', { tenant: 'blue' });
    await podman.load((await shellImage()).archive);
  });
  afterAll(() => removeContainers(path.dirname(a.runDir)));

  it.each([
    ['with limits of its own', ['--memory', '64m', '--cpus', '0.5', '--pids-limit', '77']],
    ['with none', ['--pids-limit', '-1']],
  ])('%s: is found by its id, held, and given back as it was', async (_, options) => {
    await podman.start('blue', 'held', options, FOREVER);
    const id = (await podman.call(['inspect', '--format', '{{.Id}}', 'held'])).trim();
    const { State } = await inspect(podman, 'held');
    const group = (await keeper.find(await hintsOf(id)))!;
    expect(group.pid).toBe(State.Pid);
    for (const [, where] of group.paths) expect(where).toContain(id);
    const base = await keeper.read(group);
    const limited = options.length > 2;
    expect(base).toMatchObject(
      limited ? { memory: 64 * MIB, cpu: 0.5, pids: 77 } : { memory: null, cpu: null, pids: null },
    );
    const wanted = { memory: 96 * MIB, cpu: 0.25, pids: 30, 'block.write': 5_000_000 };
    expect(await keeper.apply(group, wanted, KEEP)).toEqual([]);
    expect(await keeper.read(group)).toMatchObject(wanted);
    expect(await keeper.apply(group, base, KEEP)).toEqual([]);
    expect(await keeper.read(group)).toEqual(base);
    await podman.call(['rm', '--force', '--time', '0', 'held']);
    await expect(keeper.read(group)).rejects.toMatchObject({ code: 'not_found' });
  });
});

/** The network that asks the runtime where it puts its pods. */
function withCgroupPath(network: object): object {
  const { plugins, ...rest } = network as { readonly plugins: readonly { readonly capabilities: object }[] };
  const asking = plugins.map((one) => ({ ...one, capabilities: { ...one.capabilities, cgroupPath: true } }));
  return { ...rest, plugins: asking };
}

describe('containerd', () => {
  let containerd: Containerd;
  const image = 'localhost/sluice-sample:1';

  beforeAll(async () => {
    const conf = withCgroupPath(exampleNetwork("containerd, the pods' network", { runDir: a.runDir }));
    expect((await a.sluice(['namespace', 'set', 'team', 'blue'])).code).toBe(0);
    containerd = await containerdOn(a, conf, await pauseImage());
    await containerd.load(await shellImage());
  });
  afterAll(() => containerd?.stop());

  it('has a pod whose containers are held together, by the path that the kubelet has chosen', async () => {
    const cgroupParent = `${containerd.cgroupParent}/${POD_UID}`;
    const metadata = { name: 'pair', uid: 'uid-pair', namespace: 'team', attempt: 0 };
    const config = { metadata, hostname: 'pair', linux: { cgroupParent } };
    const { podSandboxId } = await containerd.call('RunPodSandbox', { config });
    const request = { metadata: { name: 'shell', attempt: 0 }, image: { image }, command: FOREVER };
    const { containerId } = await containerd.call('CreateContainer', {
      ...{ podSandboxId, sandboxConfig: config, config: request },
    });
    await containerd.call('StartContainer', { containerId });
    const hints = await hintsOf(podSandboxId);
    const group = (await keeper.find(hints))!;
    for (const [, where] of group.paths) expect(where).toBe(cgroupParent);
    // Whether the runtime says where the pod is or not, it is found; and it may not lead astray.
    for (const cgroupPath of [cgroupParent, null, '/', `/${POD_UID}`]) {
      expect((await keeper.find({ ...hints, cgroupPath }))?.paths).toEqual(group.paths);
    }
    const { mountPoint } = findHierarchies().byController.get('pids')!;
    const inside = processesIn(`${mountPoint}${cgroupParent}`);
    const comms = inside.map((pid) => textOf(`/proc/${pid}`, 'comm')?.trim());
    expect(comms.sort()).toEqual(['pause', 'sleep']);
    const base = await keeper.read(group);
    const wanted = { cpu: 0.5, memory: 64 * MIB, pids: 50, 'cpu.set': '0' };
    expect(await keeper.apply(group, wanted, KEEP)).toEqual([]);
    expect(await keeper.read(group)).toMatchObject(wanted);
    expect(await keeper.apply(group, base, KEEP)).toEqual([]);
    expect(await keeper.read(group)).toEqual(base);
    process.stdout.write(`containerd says cgroupPath ${JSON.stringify(hints.cgroupPath)}\n`);
    expect(readFileSync('/proc/self/cgroup', 'utf8')).not.toContain(POD_UID);
  });
});
