/** Throw-away networks for tests, proofs and the sample: nodes on a wire of their own, and an internet that answers. */
import * as z from 'zod';
import type { Method } from '../linux/api-client.ts';
import { openNetns } from '../linux/netns.ts';
import { type Listener, listenTcp } from '../linux/probe-sockets.ts';
import { run } from '../linux/process.ts';
import type { Ipv4 } from '../model/addresses.ts';
import { asSluiceError, SluiceError } from '../model/errors.ts';
import { thisCheckout } from './checkout.ts';
import type { CniOutcome } from './cni.ts';
import { askDaemon, untilAnswers } from './daemons.ts';
import { claim, recordDaemon, removeLab } from './leftovers.ts';
import { batch, buildNetwork, netnsPath, routeBlocks } from './network.ts';
import { createNode, type LabNode, type StartOptions } from './node.ts';
import {
  HTTP_PORT,
  INTERNET_HOST,
  namespaceOf,
  planLab,
  planWire,
  SERVER_PORT,
  type Topology,
  type Wire,
} from './topology.ts';

const NodeList = z.array(z.object({ uplinkAddress: z.string(), internalBlock: z.string() }));
const JoinToken = z.object({ token: z.string() });
const SERVER_WITHIN_MS = 30_000;

export interface LabOptions {
  /** Names everything of the lab: 1 to 8 lower-case letters and digits. */
  readonly prefix: string;
  readonly nodes: readonly string[];
  /** Of the wire, in bytes; default 1500. */
  readonly mtu?: number;
  /** Default 'switch'. 'nic' is a cable between exactly two nodes that behaves like network cards, without internet. */
  readonly wire?: 'switch' | 'nic';
  /** A router instead of a wire; what it forwards is at most `mtu` bytes long, and it says so. */
  readonly middle?: { readonly mtu: number };
  /** Called with each node's directory before it is removed, to end what runs there besides `sluice`. */
  readonly beforeRemoval?: (nodeDirectory: string) => Promise<void>;
}

/** A network namespace that plays a container, attached to a node. */
export interface LabContainer {
  readonly id: string;
  readonly namespace: string;
  readonly netns: string;
  readonly result: Readonly<Record<string, unknown>>;
  readonly internal: Ipv4;
  readonly external: Ipv4;
  /** DEL, and the namespace is gone. */
  remove(): Promise<void>;
}

export interface ContainerOptions {
  readonly runtimeConfig?: Readonly<Record<string, unknown>>;
  readonly conf?: Readonly<Record<string, unknown>>;
}

export interface Lab {
  readonly prefix: string;
  readonly directory: string;
  readonly nodes: readonly LabNode[];
  /** @throws SluiceError `not_found` */
  node(name: string): LabNode;
  /** A host far away: at port 80 of its address it tells every client the client's address. */
  readonly internet: { readonly netns: string; readonly namespace: string; readonly address: Ipv4 };
  /** Runs `sluice up` on every node; the first has the server, the others join it. */
  start(config?: StartOptions['config']): Promise<void>;
  /** Makes a tenant; one that is there already is no error. */
  tenant(name: string): Promise<void>;
  /** A new namespace attached to a node by the CNI plugin. */
  container(node: string, tenant: string, name: string, options?: ContainerOptions): Promise<LabContainer>;
  /** Takes everything away. May be repeated. @throws SluiceError `program_failed` naming what is left */
  close(): Promise<void>;
}

/**
 * Builds the network; nothing runs on its nodes yet. What an earlier lab of the same name has left is removed first.
 * @throws SluiceError `conflict` when such a lab is alive in another process
 */
export async function createLab({
  prefix,
  nodes: names,
  mtu = 1500,
  beforeRemoval,
  ...options
}: LabOptions): Promise<Lab> {
  const topology = planLab(prefix, names);
  const wire = planWire(names, options);
  const checkout = thisCheckout();
  claim(topology);
  requireNothing(await removeLab(topology, beforeRemoval));
  claim(topology);
  let http: Listener | undefined;
  const close = async (): Promise<void> => {
    await http?.[Symbol.asyncDispose]();
    http = undefined;
    requireNothing(await removeLab(topology, beforeRemoval));
  };
  try {
    await buildNetwork(topology, mtu, wire);
    using internet = openNetns(netnsPath(topology.internet));
    http = await listenTcp(internet, HTTP_PORT, httpAnswer);
  } catch (error) {
    await close();
    throw error;
  }
  const nodes = topology.nodes.map((plan) =>
    createNode(plan, checkout, ({ id }) => recordDaemon(topology, id)),
  );
  return labOver(topology, wire, nodes, close);
}

function labOver(topology: Topology, wire: Wire, nodes: readonly LabNode[], close: () => Promise<void>): Lab {
  const [first, ...others] = nodes;
  if (first === undefined) throw new RangeError('planLab refuses a lab without nodes');
  const node = (name: string): LabNode => nodes.find((one) => one.name === name) ?? unknownNode(name);
  return {
    prefix: topology.prefix,
    directory: topology.directory,
    nodes,
    node,
    internet: { netns: netnsPath(topology.internet), namespace: topology.internet, address: INTERNET_HOST },
    async start(config = {}): Promise<void> {
      const server = `${first.address}:${SERVER_PORT}`;
      const failed = new AbortController();
      const started = first.start({ listen: server, config }).catch((error: unknown) => {
        failed.abort(error);
        throw error;
      });
      await Promise.all([started, joinAll(first, others, { server, config }, failed.signal)]);
      if (wire.kind === 'middle') await routeBlocks(topology, wire.mtu, await internalBlocks(first));
    },
    async tenant(name): Promise<void> {
      try {
        await askDaemon(first.runDir, 'server', 'POST', '/v1/tenants', { tenant: name });
      } catch (thrown) {
        if (asSluiceError(thrown).code !== 'already_exists') throw thrown;
      }
    },
    container: (on, tenant, name, options) => attach(topology.prefix, node(on), tenant, name, options),
    close,
  };
}

/** Of every node, by its address. */
async function internalBlocks(node: LabNode): Promise<ReadonlyMap<string, string>> {
  const { code, stdout, stderr } = await node.sluice(['node', 'list', '--json']);
  if (code !== 0) throw failed('the list of nodes', stdout + stderr);
  return new Map(NodeList.parse(JSON.parse(stdout)).map((one) => [one.uplinkAddress, one.internalBlock]));
}

/**
 * The others start as soon as there is a server, beside the rest of the first node. That one is registered before
 * them, as it would register itself: so it has the first block of addresses.
 */
async function joinAll(
  first: LabNode,
  others: readonly LabNode[],
  { server, config }: { readonly server: string; readonly config: NonNullable<StartOptions['config']> },
  failed: AbortSignal,
): Promise<void> {
  if (others.length === 0) return;
  await untilAnswers(first.runDir, 'server', SERVER_WITHIN_MS, failed);
  const ask = (...request: [Method, string, unknown]): Promise<unknown> =>
    askDaemon(first.runDir, 'server', ...request);
  await ask('PUT', `/v1/nodes/${first.name}`, { uplinkAddress: first.address });
  const { token } = JoinToken.parse(await ask('POST', '/v1/tokens', { role: 'node' }));
  await Promise.all(others.map((other) => other.start({ join: { server, token }, config })));
}

async function attach(
  prefix: string,
  node: LabNode,
  tenant: string,
  name: string,
  options: ContainerOptions = {},
): Promise<LabContainer> {
  const namespace = namespaceOf(prefix, `${node.name}-${name}`);
  const call = {
    ...{ containerId: `${prefix}-${node.name}-${name}`, netns: netnsPath(namespace), ...options },
    args: `IgnoreUnknown=1;SLUICE_TENANT=${tenant};SLUICE_NAME=${name}`,
  };
  await batch([`netns add ${namespace}`]);
  const added = await node.cni('ADD', call);
  const remove = async (): Promise<void> => {
    requireSuccess('DEL', await node.cni('DEL', call));
    await run(['ip', 'netns', 'delete', namespace]);
  };
  try {
    requireSuccess('ADD', added);
  } catch (error) {
    await run(['ip', 'netns', 'delete', namespace]);
    throw error;
  }
  const result = added.json ?? {};
  const [external, internal] = addressesOf(result);
  return { id: call.containerId, namespace, netns: call.netns, result, internal, external, remove };
}

/** As the plugin orders them by default: the external side, which is the primary one, then the internal. */
function addressesOf(result: Readonly<Record<string, unknown>>): [Ipv4, Ipv4] {
  const ips = (result['ips'] ?? []) as readonly { readonly address: string }[];
  const [external = '', internal = ''] = ips.map(({ address }) => address.split('/')[0] ?? '');
  return [external as Ipv4, internal as Ipv4];
}

function requireSuccess(verb: string, { code, json }: CniOutcome): void {
  if (code !== 0) throw failed(verb, JSON.stringify(json));
}

function requireNothing(failures: readonly string[]): void {
  if (failures.length > 0) throw failed('removing the lab', failures.join('; '));
}

/** Everybody is told who they are: that is how NAT shows. */
function httpAnswer(client: string): string {
  return `HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${client.length + 1}\r\n\r\n${client}\n`;
}

function unknownNode(name: string): never {
  throw new SluiceError('not_found', `the lab has no node ${name}`, 'see its `nodes`');
}

function failed(what: string, why: string): SluiceError {
  return new SluiceError(
    'program_failed',
    `${what} failed: ${why}`,
    'see the logs of the nodes in the lab directory',
  );
}
