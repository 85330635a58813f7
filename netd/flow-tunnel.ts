/**
 * Keeps the tunnel device of the gear `flows`, through which packets between nodes go where userland sees only the first
 * ones of a flow. Whom it may hear is the plane's business (tagqueue/nfqueue/flow-rules.ts); here stands who is where.
 */
import { listNeighbours, removeNeighbour, setNeighbour } from '../linux/addressing.ts';
import { addTunnelEntry, listTunnelEntries, removeTunnelEntry } from '../linux/forwarding.ts';
import {
  createGroupTunnel,
  findLink,
  ignoring,
  type Link,
  removeLink,
  setLinkMtu,
  setLinkUp,
} from '../linux/links.ts';
import type { Netlink } from '../linux/netlink.ts';
import { readSysctl, writeSysctl } from '../linux/sysctl.ts';
import { type Ipv4, macOfAddress } from '../model/addresses.ts';
import type { IfName } from '../model/names.ts';
import { requireLink } from './kernel.ts';

export interface FlowTunnel {
  readonly name: IfName;
  /** UDP port. */
  readonly port: number;
  readonly mtu: number;
  /** This node's own address at the uplink. */
  readonly local: Ipv4;
  /** Those of the others. */
  readonly peers: readonly Ipv4[];
}

/** One network for all: tenants are told apart by their group ids. */
const VNI = 0x5c;

export interface KeptTunnel {
  /** Interface index; undefined: there is none, and none is wanted. */
  readonly index: number | undefined;
  readonly changed: boolean;
}

/**
 * @param wanted  undefined: the device is taken away
 * @throws SluiceError `kernel_refused`: without vxlan in the kernel, or with somebody else on the port
 */
export async function keepFlowTunnel(
  route: Netlink,
  name: IfName,
  wanted: FlowTunnel | undefined,
): Promise<KeptTunnel> {
  const link = await findLink(route, name);
  if (wanted === undefined) {
    if (link?.kind !== 'vxlan') return { index: undefined, changed: false };
    await removeLink(route, link.index);
    return { index: undefined, changed: true };
  }
  const right = link !== undefined && isRight(link, wanted);
  if (link !== undefined && !right) await removeLink(route, link.index);
  if (!right) await create(route, wanted);
  const { index, mtu, up } = await requireLink(route, name);
  if (mtu !== wanted.mtu) await setLinkMtu(route, index, wanted.mtu);
  const told = await tellPeers(route, index, wanted.peers);
  if (!up) await setLinkUp(route, index);
  return { index, changed: !right || told || !up };
}

function isRight({ kind, tunnelPort, mac }: Link, { port, local }: FlowTunnel): boolean {
  return kind === 'vxlan' && tunnelPort === port && mac === macOfAddress(local);
}

async function create(route: Netlink, { name, port, mtu, local }: FlowTunnel): Promise<void> {
  const mac = macOfAddress(local);
  await ignoring('EEXIST', createGroupTunnel(route, { ...{ name, mac, mtu, port, local }, vni: VNI }));
  // Else the kernel would look for neighbours there, and each question would be a refused packet.
  const setting = `net/ipv6/conf/${name}/disable_ipv6`;
  if (readSysctl(setting) !== undefined) writeSysctl(setting, '1');
}

/** @returns whether anything had to be told */
async function tellPeers(route: Netlink, dev: number, peers: readonly Ipv4[]): Promise<boolean> {
  const entries = (await listTunnelEntries(route, dev)).map(({ node }) => node);
  const neighbours = (await listNeighbours(route))
    .filter((one) => one.dev === dev && one.permanent)
    .map(({ address }) => address);
  const fresh = peers.filter((peer) => !entries.includes(peer) || !neighbours.includes(peer));
  for (const node of fresh) {
    const mac = macOfAddress(node);
    await addTunnelEntry(route, dev, { mac, node });
    await setNeighbour(route, dev, node, mac);
  }
  const gone = [...new Set([...entries, ...neighbours])].filter((node) => !peers.includes(node));
  for (const node of gone) {
    await removeTunnelEntry(route, dev, { mac: macOfAddress(node), node });
    await removeNeighbour(route, dev, node);
  }
  return fresh.length + gone.length > 0;
}
