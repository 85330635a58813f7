/** Plain nodes whose containers reach each other through the kernel's VXLAN, as most overlay networks do it. */
import type { LabNode } from '../../lab/node.ts';
import { runOk } from '../../linux/process.ts';
import type { IfName } from '../../model/names.ts';
import { bridgeName, tableName, tunnelName } from '../../netd/names.ts';
import { inside } from '../inside.ts';
import type { End } from './measures.ts';

const DEVICE = 'vx0';
const VNI = '42';
/** Of the tunnel (RFC 7348, section 4.1). */
const PORT = '4789';
/** A wire of 1500 bytes less the outer IP, UDP and VXLAN headers and the inner Ethernet header. */
const MTU = String(1500 - 20 - 8 - 8 - 14);

/** One end of the tunnel: a node with the containers on it. */
export interface TunnelEnd {
  readonly node: LabNode;
  readonly containers: readonly End[];
}

/** Leads the traffic between the containers of two plain nodes through a tunnel. */
export async function layTunnel(one: TunnelEnd, other: TunnelEnd): Promise<void> {
  await openEnd(one, other, '10.127.0.1', '10.127.0.2');
  await openEnd(other, one, '10.127.0.2', '10.127.0.1');
}

/** @param near  this end's address inside the tunnel; `far` the other's, which routes lead to */
async function openEnd(
  end: TunnelEnd,
  { node: peer, containers }: TunnelEnd,
  near: string,
  far: string,
): Promise<void> {
  const { node } = end;
  // Without programs it has no use, and it holds the port.
  await node.exec(['ip', 'link', 'delete', tunnelName(node.name)]);
  await node.exec([
    ...(['ip', 'link', 'add', DEVICE, 'type', 'vxlan', 'id', VNI, 'dstport', PORT] as const),
    ...['local', node.address, 'remote', peer.address],
  ]);
  await node.exec(['ip', 'link', 'set', DEVICE, 'mtu', MTU, 'up']);
  await node.exec(['ip', 'address', 'add', `${near}/30`, 'dev', DEVICE]);
  for (const { internal } of containers) {
    await node.exec(['ip', 'route', 'replace', `${internal}/32`, 'via', far, 'dev', DEVICE, 'onlink']);
  }
  await openFirewall(node);
  await narrow(end);
}

/** The same rules for the tunnel as for the uplink; and no tracking of the outer packets, to its advantage. */
async function openFirewall({ name, exec }: LabNode): Promise<void> {
  const internal = bridgeName(name, 'internal');
  const table = tableName(name);
  const script = `
insert rule ip ${table} untracked iifname "${DEVICE}" notrack
insert rule ip ${table} untracked udp dport ${PORT} notrack
insert rule ip ${table} forward iifname "${internal}" oifname "${DEVICE}" accept
insert rule ip ${table} forward iifname "${DEVICE}" oifname "${internal}" accept
`;
  await exec(['nft', '-f', '-'], { stdin: script });
}

/** Every link on the way to the containers takes packets that fit into the tunnel, and no larger ones. */
async function narrow({ node, containers }: TunnelEnd): Promise<void> {
  const bridge = bridgeName(node.name, 'internal');
  const ports = JSON.parse(await node.exec(['ip', '-json', 'link', 'show', 'master', bridge])) as {
    ifname: IfName;
  }[];
  for (const link of [...ports.map(({ ifname }) => ifname), bridge]) {
    await node.exec(['ip', 'link', 'set', link, 'mtu', MTU]);
  }
  for (const container of containers)
    await runOk(inside(container, ['ip', 'link', 'set', 'eth1', 'mtu', MTU]));
}
