/** The sample: two nodes, two tenants, five containers of a real runtime, a volume, and the proof run on all of these. */
import path from 'node:path';
import { createLab, type Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { localClient } from '../../linux/api-client.ts';
import { readTextIfThere } from '../../linux/files.ts';
import { type Netns, openNetns } from '../../linux/netns.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import type { Endpoint, PublishedPort } from '../../model/endpoint.ts';
import { nicOf } from '../../model/endpoint.ts';
import { SluiceError } from '../../model/errors.ts';
import { socketOf } from '../places.ts';
import type { Cast } from '../verify/cast.ts';
import { findEndpoint, openDaemons } from '../verify/node-facts.ts';
import { type Report, reportOf } from '../verify/report.ts';
import { runVerify } from '../verify/run.ts';
import type { LocalActor, Peer } from '../verify/stage.ts';
import { IMAGE, makeImage, type Podman, podmanOn, removeContainers } from './podman.ts';
import { type Planned, type Running, TENANTS } from './running.ts';
import { DIRECTORY, proveVolume, shareVolume } from './volume.ts';

export const WEB_PORT = 8080;

const CONTAINERS: readonly Planned[] = [
  { name: 'b1', tenant: 'blue', node: 'a' },
  { name: 'b2', tenant: 'blue', node: 'a' },
  { name: 'r1', tenant: 'red', node: 'a' },
  { name: 'b3', tenant: 'blue', node: 'b' },
  { name: 'r2', tenant: 'red', node: 'b' },
];
/** This one has the web page. */
const WEB = 'b1';

export interface Sample {
  readonly lab: Lab;
  readonly containers: readonly Running[];
  /** Where the web page answers. */
  readonly web: string;
  close(): Promise<void>;
}

/** @param root  of the checkout @param say  told of each step once it is done */
export async function startSample(
  root: string,
  signal: AbortSignal,
  say: (step: string) => void,
): Promise<Sample> {
  const lab = await createLab({ prefix: 'sluice', nodes: ['a', 'b'], beforeRemoval: removeContainers });
  try {
    say('a wire, two machines on it, and an internet behind a gateway');
    signal.throwIfAborted();
    const archive = path.join(root, 'build/sample-image.tar');
    if (readTextIfThere(archive) === undefined)
      await makeImage(path.join(root, 'test/images/busybox.sh'), archive);
    const podmans = new Map(
      lab.nodes.map((node) => [node.name as string, podmanOn(node, TENANTS, path.join(root, 'bin'))]),
    );
    await Promise.all([startNodes(lab), ...[...podmans.values()].map((podman) => podman.load(archive))]);
    say('node a with the server, node b joined to it; tenants blue and red');
    signal.throwIfAborted();
    const containers = await startContainers(lab, podmans);
    say(`five containers by podman, image ${IMAGE}`);
    signal.throwIfAborted();
    await shareVolume(lab, containers);
    say(`a volume on four bricks, at ${DIRECTORY} in every container of blue`);
    return { lab, containers, web: `http://${lab.node('a').address}:${WEB_PORT}/`, close: () => lab.close() };
  } catch (error) {
    await lab.close();
    throw error;
  }
}

async function startNodes(lab: Lab): Promise<void> {
  await lab.start({ storage: { bricks: 'on' } });
  for (const tenant of TENANTS) await lab.tenant(tenant);
}

async function startContainers(lab: Lab, podmans: ReadonlyMap<string, Podman>): Promise<Running[]> {
  const started = await Promise.all(
    lab.nodes.map(async (node) => {
      const podman = podmans.get(node.name);
      if (podman === undefined) throw new RangeError(`no podman on ${node.name}`);
      const here: Running[] = [];
      for (const planned of CONTAINERS.filter((one) => one.node === (node.name as string))) {
        const [options, command] =
          planned.name === WEB
            ? [
                ['--publish', `${WEB_PORT}:80`],
                ['httpd', '-f', '-h', '/www'],
              ]
            : [[], ['sleep', '2147483647']];
        await podman.start(planned.tenant, planned.name, options, command);
        here.push({ ...planned, podman, address: internalOf(await endpointOn(node, planned.name)) });
      }
      return here;
    }),
  );
  return started.flat();
}

async function endpointOn(node: LabNode, name: string): Promise<Endpoint> {
  using daemons = openDaemons(node.runDir);
  return await findEndpoint(daemons, name);
}

function internalOf(endpoint: Endpoint): Ipv4 {
  const nic = nicOf(endpoint, 'internal');
  if (nic !== undefined) return nic.address;
  throw new SluiceError(
    'check_failed',
    `${endpoint.containerName} has no internal interface`,
    'see the network configuration',
  );
}

/** Every check of `sluice verify`, with podman's containers for actors, and what a shared volume promises. */
export async function proveSample(sample: Sample, signal: AbortSignal): Promise<Report> {
  const { node, plane, checks } = await proveFence(sample, signal);
  return reportOf(node, plane, [...checks, ...(await proveVolume(sample, signal))]);
}

async function proveFence({ lab }: Sample, signal: AbortSignal): Promise<Report> {
  const { runDir } = lab.node('a');
  const server = localClient(socketOf({ runDir }, 'server'));
  const opened: Netns[] = [];
  const actors = async (): Promise<{ cast: Cast; peer: Peer }> => {
    const found = new Map<string, LocalActor & { endpoint: Endpoint }>();
    for (const { name, tenant, node } of CONTAINERS) {
      const endpoint = await endpointOn(lab.node(node), name);
      const netns = openNetns(endpoint.netns);
      opened.push(netns);
      found.set(name, { label: `${tenant}/${name}`, netns, nics: endpoint.nics, endpoint });
    }
    return castOf(found);
  };
  try {
    const services = [{ address: lab.node('a').address, port: 7070 }];
    const egressProbe = lab.internet.address;
    return await runVerify({
      runDir,
      server,
      signal,
      actors,
      services,
      egressProbe,
      outside: lab.internet.netns,
    });
  } finally {
    for (const netns of opened) netns[Symbol.dispose]();
    server.close();
  }
}

function castOf(found: ReadonlyMap<string, LocalActor & { endpoint: Endpoint }>): { cast: Cast; peer: Peer } {
  const actor = (name: string): LocalActor & { endpoint: Endpoint } => {
    const one = found.get(name);
    if (one === undefined) throw new RangeError(`the sample has no container ${name}`);
    return one;
  };
  const remote = (name: string): Peer['blue'] => {
    const { label, netns, endpoint } = actor(name);
    const nic = nicOf(endpoint, 'internal');
    return { label, address: internalOf(endpoint), ...(nic && { watch: { netns, ifName: nic.ifName } }) };
  };
  const port: PublishedPort | undefined = actor(WEB).endpoint.ports[0];
  if (port === undefined)
    throw new SluiceError('check_failed', `${WEB} has no published port`, 'podman did not pass it on');
  return {
    cast: {
      blue: [actor('b1'), actor('b2')],
      red: actor('r1'),
      publication: { actor: actor(WEB), port, served: true },
    },
    peer: { node: 'b' as Peer['node'], blue: remote('b3'), red: remote('r2') },
  };
}
