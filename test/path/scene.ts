/** Two nodes, a narrow router between them, a container of one tenant on each, and one of another tenant. */
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { netnsPath } from '../../lab/network.ts';
import type { StartOptions } from '../../lab/node.ts';
import { namespaceOf } from '../../lab/topology.ts';
import { localClient } from '../../linux/api-client.ts';
import { ETHERNET_BYTES, ethernetFrame } from '../../linux/frames.ts';
import { inNetns, openNetns } from '../../linux/netns.ts';
import { openPacketSocket, type PacketSocket } from '../../linux/packet.ts';
import { type Outcome, run } from '../../linux/process.ts';
import { writeSysctl } from '../../linux/sysctl.ts';
import type { Ipv4, Mac } from '../../model/addresses.ts';
import type { Carrier } from '../../model/carrier.ts';
import { ClusterKeys } from '../../model/keys.ts';
import type { TenantTag } from '../../model/names.ts';
import type { TagKey } from '../../tagqueue/token.ts';
import { carrierOf, useCarrier } from '../attacks/carriage.ts';
import { ETHERTYPE } from '../frames.ts';

export type NodeLetter = 'a' | 'b';

/** A container's internal interface, and how packets come to its node. */
export interface End {
  readonly node: NodeLetter;
  readonly container: LabContainer;
  readonly ifName: string;
  readonly address: Ipv4;
  readonly mac: Mac;
  readonly gateway: Ipv4;
  readonly gatewayMac: Mac;
  readonly uplink: { readonly address: Ipv4; readonly mac: Mac };
  readonly socket: PacketSocket;
  /** The router's port to the node. */
  readonly port: PacketSocket;
}

export interface Scene extends AsyncDisposable {
  readonly lab: Lab;
  readonly near: End;
  readonly far: End;
  /** On node a, of another tenant. */
  readonly stranger: LabContainer;
  readonly tenant: TenantTag;
  readonly key: TagKey;
}

export const MIDDLE_MTU = 1400;
const WAIT_MS = 10_000;
const PATIENCE_MS = 2_000;

export async function setScene(prefix: string, config: StartOptions['config'] = {}): Promise<Scene> {
  const lab = await createLab({ prefix, nodes: ['a', 'b'], middle: { mtu: MIDDLE_MTU } });
  const open: PacketSocket[] = [];
  const close = async (): Promise<void> => {
    for (const socket of open) socket[Symbol.dispose]();
    await lab.close();
  };
  try {
    await lab.start(config);
    for (const tenant of ['blue', 'red']) await lab.tenant(tenant);
    const [near, far] = [await standAt(lab, 'a', open), await standAt(lab, 'b', open)];
    const stranger = await lab.container('a', 'red', 'stranger');
    for (const end of [near, far]) answerEveryTime(end.container.netns);
    for (const { namespace } of lab.nodes) answerEveryTime(netnsPath(namespace));
    answerEveryTime(netnsPath(namespaceOf(prefix, 'wire')));
    return { lab, near, far, stranger, ...(await secretsOf(lab)), [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Else Linux tells one host of one error per second only (icmp(7)). */
function answerEveryTime(path: string): void {
  using netns = openNetns(path);
  inNetns(netns, () => writeSysctl('net/ipv4/icmp_ratelimit', '0'));
}

async function standAt(lab: Lab, letter: NodeLetter, open: PacketSocket[]): Promise<End> {
  const node = lab.node(letter);
  const container = await lab.container(letter, 'blue', letter);
  const [, { name, mac }] = container.result['interfaces'] as [unknown, { name: string; mac: Mac }];
  const [, { gateway }] = container.result['ips'] as [unknown, { gateway: Ipv4 }];
  const macOf = async (link: string): Promise<Mac> =>
    JSON.parse(await node.exec(['ip', '-j', 'link', 'show', link]))[0].address;
  const socketIn = (path: string, link: string): PacketSocket => {
    using netns = openNetns(path);
    const socket = openPacketSocket(netns, link);
    open.push(socket);
    return socket;
  };
  return {
    ...{ node: letter, container, ifName: name, address: container.internal, mac, gateway },
    gatewayMac: await macOf(`si-${letter}`),
    uplink: { address: node.address, mac: await macOf('up0') },
    socket: socketIn(container.netns, name),
    port: socketIn(netnsPath(namespaceOf(lab.prefix, 'wire')), letter === 'a' ? 'port1' : 'port2'),
  };
}

async function secretsOf(lab: Lab): Promise<Pick<Scene, 'tenant' | 'key'>> {
  const client = localClient(`${lab.node('a').runDir}/server.sock`);
  try {
    const { tag } = (await client.request('GET', '/v1/tenants/blue')) as { tag: TenantTag };
    const { current, keys } = ClusterKeys.parse(await client.request('GET', '/v1/keys'));
    const secret = Buffer.from(keys.find(({ epoch }) => epoch === current)!.key, 'hex');
    return { tenant: tag, key: { epoch: current, secret } };
  } finally {
    client.close();
  }
}

/** Runs a program in the container's network namespace. It may fail. */
export function inside({ container }: End, ...argv: readonly [string, ...string[]]): Promise<Outcome> {
  return run(['nsenter', `--net=${container.netns}`, '--', ...argv], { timeoutMs: 30_000 });
}

/** The container sends an IPv4 packet to its gateway. */
export function sendFrom(end: End, packet: Uint8Array): void {
  end.socket.send(ethernetFrame(end.mac, end.gatewayMac, ETHERTYPE.ipv4, packet));
}

const ROUTER_MAC = '02:bb:00:00:00:01' as Mac;

/** The router in the middle sends an IPv4 packet to the container's node. */
export function sendTo(end: End, packet: Uint8Array): void {
  end.port.send(ethernetFrame(ROUTER_MAC, end.uplink.mac, ETHERTYPE.ipv4, packet));
}

/** The next IPv4 packet with these bytes in it that a socket sees coming in, from its header on. @throws Error when it does not come */
export async function arriving(
  socket: PacketSocket,
  marker: Buffer,
  patienceMs = PATIENCE_MS,
): Promise<Buffer> {
  const frame = await socket.next(({ bytes, outgoing }) => !outgoing && bytes.includes(marker), patienceMs);
  if (frame === undefined) throw new Error(`nothing with ${marker.toString('hex')} came to ${socket.ifName}`);
  return frame.bytes.subarray(ETHERNET_BYTES);
}

/** Both nodes send by this carrier. @throws Error when they still do not after ten seconds */
export async function carry({ lab, near, far }: Scene, carrier: Carrier): Promise<void> {
  await useCarrier(lab, carrier);
  const end = performance.now() + WAIT_MS;
  for (const [from, to] of [
    [near, far],
    [far, near],
  ] as const) {
    while ((await carrierSeen(from, to)) !== carrier) {
      if (performance.now() > end) throw new Error(`node ${from.node} does not send by ${carrier}`);
    }
  }
}

/** By what a ping leaves its node. */
async function carrierSeen(from: End, to: End): Promise<Carrier | undefined> {
  const marker = Buffer.from(from.address.split('.').map(Number));
  from.port.take();
  await inside(from, 'ping', '-q', '-c', '1', '-W', '1', to.address);
  const frame = await from.port.next(({ bytes, outgoing }) => !outgoing && bytes.includes(marker), 0);
  return frame === undefined ? undefined : carrierOf(frame.bytes);
}

/** What a test tries: over which carrier, and past bridge and routing, through them, or without eBPF. */
export interface Stage {
  readonly scene: () => Scene;
  readonly carrier: Carrier;
  readonly way: Way;
}

export type Way = 'fast path' | 'long way' | 'userland';

/** Registers tests. */
export type Suite = (stage: Stage) => void;

/** How many bytes the carrier takes of every packet. */
export const ROOM = { option: 16, vxlan: 50 } as const satisfies Record<Carrier, number>;

/** The one line that each subject prints. */
export function say({ carrier, way }: Pick<Stage, 'carrier' | 'way'>, what: string, figures: string): void {
  process.stdout.write(`  ${carrier.padEnd(7)} ${way.padEnd(10)} ${what.padEnd(34)} ${figures}\n`);
}

/** Forgets what the containers have heard about paths. */
export async function forgetPaths({ near, far }: Scene): Promise<void> {
  for (const end of [near, far]) await inside(end, 'ip', 'route', 'flush', 'cache');
}
