/** Pods of containerd on this network, through CRI as the kubelet speaks it. Needs root. */
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { createLab, type Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { run } from '../../linux/process.ts';
import { type Containerd, containerdOn, endContainerd } from '../runtimes/containerd.ts';
import type { PodConfig } from '../runtimes/cri.ts';
import { pauseImage, shellImage } from '../runtimes/images.ts';
import { exampleNetwork } from '../runtimes/page.ts';
import { type Traces, tracesOn } from '../runtimes/traces.ts';
import { until } from '../runtimes/until.ts';

const PAGE = 'A page behind a fence';
const FOREVER = ['sleep', '2147483647'];
const INTERNAL_POOL = /^10\.(6[4-9]|7\d)\./;
let lab: Lab;
let a: LabNode;
let containerd: Containerd;
let image: string;

interface Pod {
  readonly id: string;
  readonly address: string;
  readonly config: PodConfig;
  /** The containers of the pod run this, by name. */
  readonly containers: Readonly<Record<string, string>>;
}

function podConfig(namespace: string, name: string, more: Partial<PodConfig> = {}): PodConfig {
  const metadata = { name, uid: `uid-${namespace}-${name}`, namespace, attempt: 0 };
  return { metadata, hostname: name, linux: { cgroupParent: containerd.cgroupParent }, ...more };
}

async function sandbox(config: PodConfig): Promise<{ id: string; address: string }> {
  const { podSandboxId: id } = await containerd.call('RunPodSandbox', { config });
  const { status } = await containerd.call('PodSandboxStatus', { podSandboxId: id });
  return { id, address: status.network.ip };
}

async function container(
  podSandboxId: string,
  sandboxConfig: PodConfig,
  name: string,
  command: readonly string[],
): Promise<string> {
  const config = { metadata: { name, attempt: 0 }, image: { image }, command };
  const { containerId } = await containerd.call('CreateContainer', { podSandboxId, config, sandboxConfig });
  await containerd.call('StartContainer', { containerId });
  return containerId;
}

/** A pod of two containers: a web server and a shell. */
async function pod(namespace: string, name: string, more: Partial<PodConfig> = {}): Promise<Pod> {
  const config = podConfig(namespace, name, more);
  const { id, address } = await sandbox(config);
  const web = await container(id, config, 'web', ['httpd', '-f', '-p', '80', '-h', '/www']);
  const shell = await container(id, config, 'shell', FOREVER);
  return { id, address, config, containers: { web, shell } };
}

async function exec(one: Pod, name: string, ...cmd: string[]): Promise<{ exitCode: number; text: string }> {
  const request = { containerId: one.containers[name]!, cmd, timeout: 10 };
  const { stdout, exitCode } = await containerd.call('ExecSync', request);
  return { exitCode, text: stdout.toString() };
}

/** Whether the pod gets an answer to its ping. */
async function reaches(from: Pod, to: Pod): Promise<boolean> {
  const script = `ping -c 1 -W 1 ${to.address} >/dev/null && echo yes || echo no`;
  const { text } = await exec(from, 'shell', 'sh', '-c', script);
  expect(['yes\n', 'no\n']).toContain(text);
  return text === 'yes\n';
}

async function stop(podSandboxId: string): Promise<void> {
  await containerd.call('StopPodSandbox', { podSandboxId });
}

async function remove(podSandboxId: string): Promise<void> {
  await containerd.call('RemovePodSandbox', { podSandboxId });
}

const page = async (netns: string, url: string): Promise<string> =>
  (await run(['nsenter', `--net=${netns}`, 'curl', '--silent', '--max-time', '3', url])).stdout;

async function endpointOf(name: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const { endpoints } = await tracesOn(a);
  return endpoints.find(({ containerName }) => containerName === name);
}

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test makes network namespaces: run it as root');
  lab = await createLab({ prefix: 'cridtest', nodes: ['a'], beforeRemoval: endContainerd });
  a = lab.node('a');
  await lab.start();
  for (const tenant of ['blue', 'red']) {
    await lab.tenant(tenant);
    expect((await a.sluice(['namespace', 'set', `team-${tenant}`, tenant])).code).toBe(0);
  }
  const network = exampleNetwork("containerd, the pods' network", { runDir: a.runDir });
  const shell = await shellImage();
  image = shell.name;
  containerd = await containerdOn(a, network, await pauseImage());
  await containerd.load(shell);
});
afterAll(async () => {
  await containerd?.stop();
  await lab?.close();
});

describe('pods of two tenants', () => {
  let before: Traces;
  let shop: Pod;
  let stock: Pod;
  let spy: Pod;

  beforeAll(async () => {
    before = await tracesOn(a);
    const portMappings = [{ protocol: 'TCP', containerPort: 80, hostPort: 8080 }] as const;
    const dnsConfig = { servers: ['192.0.2.53'], searches: ['blue.test'] };
    shop = await pod('team-blue', 'shop', { portMappings, dnsConfig });
    stock = await pod('team-blue', 'stock');
    // A pod says of itself what it likes; it stays whose namespace it is in.
    spy = await pod('team-red', 'spy', {
      annotations: { 'sluice.io/tenant': 'blue', SLUICE_TENANT: 'blue' },
    });
  });

  it('are ready for more', async () => {
    const { status } = await containerd.call('Status', {});
    expect(await containerd.held()).toEqual({ shims: 3, namespaces: 3 });
    expect(status.conditions).toContainEqual(expect.objectContaining({ type: 'NetworkReady', status: true }));
  });

  it('have the internal address for their own, and an external one besides', async () => {
    const { status } = await containerd.call('PodSandboxStatus', { podSandboxId: shop.id });
    const show = ['ip', '-o', '-4', 'address', 'show', 'dev'];
    expect(status.network.ip).toMatch(INTERNAL_POOL);
    expect((await exec(shop, 'shell', ...show, 'eth1')).text).toMatch(/inet 10\.8\d\./);
    expect((await exec(shop, 'shell', ...show, 'eth0')).text).toContain(`inet ${shop.address}/`);
  });

  it('share one network among their containers, and with no other pod', async () => {
    const loopback = ['wget', '-q', '-O', '-', 'http://127.0.0.1/'];
    expect((await exec(shop, 'shell', ...loopback)).text).toContain(PAGE);
    const netns = async (one: Pod, name: string): Promise<string> =>
      (await exec(one, name, 'readlink', '/proc/self/ns/net')).text;
    expect(await netns(shop, 'web')).toBe(await netns(shop, 'shell'));
    expect(await netns(shop, 'web')).not.toBe(await netns(stock, 'web'));
  });

  it('reach those of their tenant and nobody else', async () => {
    const pairs = [
      [shop, stock, true],
      [stock, shop, true],
      [shop, spy, false],
      [spy, shop, false],
      [spy, stock, false],
    ] as const;
    for (const [from, to, expected] of pairs) {
      const pair = `${from.config.metadata.name} → ${to.config.metadata.name}`;
      expect([pair, await reaches(from, to)]).toEqual([pair, expected]);
    }
  });

  it('belong to the tenant of their namespace, whatever their annotations say', async () => {
    expect(await endpointOf('team-red.spy')).toMatchObject({
      tenant: 'red',
      podAnnotations: { 'sluice.io/tenant': 'blue', SLUICE_TENANT: 'blue' },
    });
    expect(await endpointOf('team-blue.shop')).toMatchObject({ tenant: 'blue', podAnnotations: {} });
  });

  it('reach the internet through NAT', async () => {
    const url = `http://${lab.internet.address}/`;
    expect((await exec(shop, 'shell', 'timeout', '5', 'wget', '-q', '-O', '-', url)).text).toBe(
      `${a.address}\n`,
    );
  });

  it('are published where they ask for it', async () => {
    const url = `http://${a.address}:8080/`;
    expect(await page(a.netns, url)).toContain(PAGE);
    expect(await page(lab.internet.netns, url)).toContain(PAGE);
    expect((await exec(spy, 'shell', 'timeout', '5', 'wget', '-q', '-O', '-', url)).text).toContain(PAGE);
  });

  it('have the name servers the kubelet says', async () => {
    const { text } = await exec(shop, 'shell', 'cat', '/etc/resolv.conf');
    expect(text).toContain('nameserver 192.0.2.53');
    expect(text).toContain('search blue.test');
  });

  it('are refused from a namespace of nobody, and leave nothing', async () => {
    const traces = await tracesOn(a);
    const config = podConfig('team-nobody', 'stray', { annotations: { SLUICE_TENANT: 'blue' } });
    await expect(containerd.call('RunPodSandbox', { config })).rejects.toThrow(
      /team-nobody is mapped to none/,
    );
    expect(await tracesOn(a)).toEqual(traces);
  });

  it('are refused a port that another has, and leave nothing', async () => {
    const traces = await tracesOn(a);
    const portMappings = [{ protocol: 'TCP', containerPort: 80, hostPort: 8080 }] as const;
    const config = podConfig('team-red', 'late', { portMappings });
    await expect(containerd.call('RunPodSandbox', { config })).rejects.toThrow(/8080/);
    expect(await tracesOn(a)).toEqual(traces);
  });

  it('lose their network when they are stopped, and may be stopped again', async () => {
    await stop(shop.id);
    expect(await endpointOf('team-blue.shop')).toBeUndefined();
    expect(await page(a.netns, `http://${a.address}:8080/`)).toBe('');
    expect(await reaches(stock, shop)).toBe(false);
    await stop(shop.id);
  });

  it('are removed with a second DEL, without a namespace, that succeeds', async () => {
    await remove(shop.id);
    await remove(shop.id);
    const { items } = await containerd.call('ListPodSandbox', {});
    expect(items.map(({ metadata }) => metadata.name).sort()).toEqual(['spy', 'stock']);
    const log = readFileSync(containerd.logFile, 'utf8');
    const torn = log.split(`TearDown network for sandbox \\"${shop.id}\\" successfully`).length - 1;
    expect(torn).toBeGreaterThanOrEqual(2);
  });

  it('are removed in one go while they run', async () => {
    await remove(stock.id);
    await remove(spy.id);
  });

  it('leave nothing: no link, rule, neighbour, endpoint, namespace or process', async () => {
    expect(await tracesOn(a)).toEqual(before);
    const nothing = { shims: 0, namespaces: 0 };
    await until('they are gone', async () => isDeepStrictEqual(await containerd.held(), nothing));
  });
});
