/** The scene of the attacks: two nodes, two containers of red and two of blue on each, and a stranger on the wire. */

import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { batch, netnsPath } from '../../lab/network.ts';
import { localClient } from '../../linux/api-client.ts';
import { inNetns, openNetns } from '../../linux/netns.ts';
import { openPacketSocket, type PacketSocket } from '../../linux/packet.ts';
import { type Argv, runOk } from '../../linux/process.ts';
import { readSysctl, writeSysctl } from '../../linux/sysctl.ts';
import type { Ipv4, Mac } from '../../model/addresses.ts';
import { ClusterKeys } from '../../model/keys.ts';
import type { TenantTag } from '../../model/names.ts';
import type { TagKey } from '../../tagqueue/wire.ts';
import { useCarrier, waitForCarrier } from './carriage.ts';
import { VARIANTS, type Variant } from './variants.ts';

export type NodeLetter = 'a' | 'b';

/** A network interface that frames are sent from and seen at, by a packet socket. */
export interface Nic {
  readonly name: string;
  readonly node: NodeLetter;
  readonly side: 'internal' | 'external';
  readonly ifName: string;
  readonly address: Ipv4;
  readonly mac: Mac;
  readonly gateway: Ipv4;
  readonly gatewayMac: Mac;
  readonly socket: PacketSocket;
}

export interface Member {
  readonly name: string;
  readonly container: LabContainer;
  readonly internal: Nic;
  readonly external: Nic;
}

/** A machine on the wire that is no node: it can send whatever it likes. */
export interface Stranger {
  readonly socket: PacketSocket;
  readonly mac: Mac;
  /** MAC address of each node's uplink. */
  readonly uplinks: Readonly<Record<NodeLetter, Mac>>;
}

export interface World {
  readonly variant: Variant;
  readonly lab: Lab;
  readonly red: Record<'a1' | 'a2' | 'b1' | 'b2', Member>;
  readonly blue: Record<'a1' | 'a2' | 'b1' | 'b2', Member>;
  readonly stranger: Stranger;
  /** The internet's interface on the wire. */
  readonly internet: PacketSocket;
  /** Each node's uplink, where its programs have done their work on what leaves. */
  readonly uplinks: Readonly<Record<NodeLetter, PacketSocket>>;
  readonly tags: Readonly<Record<'red' | 'blue', TenantTag>>;
  /** The cluster's own key, for tags that nobody but a node could make. */
  readonly key: TagKey;
}

const NAMES = ['a1', 'a2', 'b1', 'b2'] as const;

/**
 * Call it at the top of a test file.
 * @param prefix  of the lab: no two files may share one
 */
export function worldForFile(prefix: string, variant: Variant = VARIANTS.option): () => World {
  const open: Disposable[] = [];
  let lab: Lab | undefined;
  let world: World | undefined;
  beforeAll(async () => {
    lab = await createLab({ prefix, nodes: ['a', 'b'] });
    world = await furnish(lab, variant, open);
  });
  afterAll(async () => {
    for (const one of open) one[Symbol.dispose]();
    await lab?.close();
  });
  return () => world!;
}

async function furnish(lab: Lab, variant: Variant, open: Disposable[]): Promise<World> {
  await lab.start(variant.config);
  await useCarrier(lab, variant.carrier);
  for (const tenant of ['red', 'blue']) await lab.tenant(tenant);
  const member = (tenant: string, name: string): Promise<Member> => attach(lab, tenant, name, open);
  const red = await membersOf('red', member);
  const blue = await membersOf('blue', member);
  const [stranger, internet] = [await addStranger(lab, open), socketIn(lab.internet.netns, 'up0', open)];
  const uplinks = {
    a: socketIn(lab.node('a').netns, 'up0', open),
    b: socketIn(lab.node('b').netns, 'up0', open),
  };
  const world = { variant, lab, red, blue, stranger, internet, uplinks, ...(await secretsOf(lab)) };
  await waitForCarrier(world);
  return world;
}

async function membersOf(
  tenant: string,
  member: (tenant: string, name: string) => Promise<Member>,
): Promise<World['red']> {
  const made = await Promise.all(NAMES.map((name) => member(tenant, name)));
  return Object.fromEntries(NAMES.map((name, i) => [name, made[i]])) as World['red'];
}

async function attach(lab: Lab, tenant: string, name: string, open: Disposable[]): Promise<Member> {
  const node = name.startsWith('a') ? 'a' : 'b';
  const container = await lab.container(node, tenant, `${tenant}-${name}`);
  const { interfaces, ips } = container.result as {
    interfaces: { name: string; mac: Mac }[];
    ips: { gateway: Ipv4 }[];
  };
  const gatewayMacs = await bridgeMacs(lab, node);
  const nic = (side: Nic['side'], position: number): Nic => ({
    ...{ name: `${tenant}-${name} ${side}`, node, side, address: container[side] },
    ifName: interfaces[position]!.name,
    mac: interfaces[position]!.mac,
    gateway: ips[position]!.gateway,
    gatewayMac: gatewayMacs[side],
    socket: socketIn(container.netns, interfaces[position]!.name, open),
  });
  return { name: `${tenant}-${name}`, container, external: nic('external', 0), internal: nic('internal', 1) };
}

async function bridgeMacs(lab: Lab, node: NodeLetter): Promise<Record<Nic['side'], Mac>> {
  return {
    internal: await macOf(lab, node, `si-${node}`),
    external: await macOf(lab, node, `se-${node}`),
  };
}

async function macOf(lab: Lab, node: NodeLetter, link: string): Promise<Mac> {
  const [found] = JSON.parse(await lab.node(node).exec(['ip', '-j', 'link', 'show', link]));
  return found.address;
}

/** A further host on the wire's bridge; the lab removes it with all others whose names begin with its prefix. */
async function addStranger(lab: Lab, open: Disposable[]): Promise<Stranger> {
  const mac = '02:bb:00:00:00:66' as Mac;
  const namespace = `${lab.prefix}.stranger`;
  await batch([`netns add ${namespace}`]);
  const peer = `peer name up0 address ${mac} netns ${namespace}`;
  await batch(
    [
      ...[`link add stranger type veth ${peer}`, 'link set stranger master wire up'],
      // The wire is not under trial: whoever steals a node's MAC address there cuts it off, and no more.
      'link set stranger type bridge_slave learning off',
    ],
    `${lab.prefix}.wire`,
  );
  await batch(['link set up0 up'], namespace);
  carryAnything(`${lab.prefix}.wire`);
  const uplinks = { a: await macOf(lab, 'a', 'up0'), b: await macOf(lab, 'b', 'up0') };
  return { mac, uplinks, socket: socketIn(netnsPath(namespace), 'up0', open) };
}

/** With this setting, which is on by default where it exists, bridges drop IPv4 with a damaged header themselves. */
function carryAnything(namespace: string): void {
  const setting = 'net/bridge/bridge-nf-call-iptables';
  using netns = openNetns(netnsPath(namespace));
  inNetns(netns, () => {
    if (readSysctl(setting) !== undefined) writeSysctl(setting, '0');
  });
}

function socketIn(path: string, ifName: string, open: Disposable[]): PacketSocket {
  using netns = openNetns(path);
  const socket = openPacketSocket(netns, ifName);
  open.push(socket);
  return socket;
}

async function secretsOf(lab: Lab): Promise<Pick<World, 'tags' | 'key'>> {
  const client = localClient(`${lab.node('a').runDir}/server.sock`);
  try {
    const tagOf = async (tenant: string): Promise<TenantTag> =>
      ((await client.request('GET', `/v1/tenants/${tenant}`)) as { tag: TenantTag }).tag;
    const { current, keys } = ClusterKeys.parse(await client.request('GET', '/v1/keys'));
    const secret = Buffer.from(keys.find(({ epoch }) => epoch === current)!.key, 'hex');
    return { tags: { red: await tagOf('red'), blue: await tagOf('blue') }, key: { epoch: current, secret } };
  } finally {
    client.close();
  }
}

/** Runs a program as root of the container: in its network namespace, with all capabilities there. It must succeed. */
export function execInside({ container }: Pick<Member, 'container'>, argv: Argv): Promise<string> {
  return runOk(['nsenter', `--net=${container.netns}`, '--', ...argv]);
}
