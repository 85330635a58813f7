/** Network links through rtnetlink: bridges, veth pairs, bridge ports (linux/if_link.h). */
import { bytesToMac, type Ipv4, ipv4ToBytes, type Mac, macToBytes } from '../model/addresses.ts';
import type { IfName } from '../model/names.ts';
import {
  attribute,
  cString,
  type Netlink,
  NetlinkError,
  NLM_F_CREATE,
  NLM_F_EXCL,
  nested,
  parseAttributes,
  text,
  u8,
  u16be,
  u32,
} from './netlink.ts';

const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_GROUP = 27;
const IFLA_NET_NS_FD = 28;
const IFLA_STATS64 = 23;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const IFLA_BR_MCAST_SNOOPING = 23;
const IFLA_VXLAN_ID = 1;
const IFLA_VXLAN_LOCAL = 4;
const IFLA_VXLAN_LEARNING = 7;
const IFLA_VXLAN_PORT = 15;
const IFLA_VXLAN_GBP = 23;
const IFLA_VXLAN_COLLECT_METADATA = 25;
const IFLA_BRPORT_MODE = 4;
const IFLA_BRPORT_LEARNING = 8;
const IFLA_BRPORT_UNICAST_FLOOD = 9;
const IFLA_BRPORT_MCAST_FLOOD = 27;
const IFLA_BRPORT_BCAST_FLOOD = 30;
const VETH_INFO_PEER = 1;

const IFF_UP = 1;
const ARPHRD_ETHER = 1;

/** A link as the kernel reports it. */
export interface Link {
  readonly index: number;
  readonly name: IfName;
  readonly mac: Mac;
  readonly mtu: number;
  readonly up: boolean;
  readonly ethernet: boolean;
  /** Index of the bridge it is a port of. */
  readonly master: number | undefined;
  readonly group: number;
  /** 'veth', 'bridge', …; undefined for hardware. */
  readonly kind: string | undefined;
  /** Index of the other end of a veth pair, in its own namespace. */
  readonly peerIndex: number | undefined;
  /** UDP port of a vxlan device. */
  readonly tunnelPort: number | undefined;
  readonly rxPackets: bigint;
  readonly txPackets: bigint;
}

/** struct ifinfomsg: family, type, index, flags, change mask. */
function ifinfo(index = 0, flags = 0, change = 0): Buffer {
  const out = Buffer.alloc(16);
  out.writeInt32LE(index, 4);
  out.writeUInt32LE(flags, 8);
  out.writeUInt32LE(change, 12);
  return out;
}

function parseLink(data: Buffer): Link {
  const attributes = parseAttributes(data.subarray(16));
  const info = parseAttributes(attributes.get(IFLA_LINKINFO) ?? Buffer.alloc(0));
  const stats = attributes.get(IFLA_STATS64);
  const kindName = info.get(IFLA_INFO_KIND);
  const kind = kindName && cString(kindName);
  const details = info.get(IFLA_INFO_DATA);
  return {
    index: data.readInt32LE(4),
    name: cString(attributes.get(IFLA_IFNAME) ?? Buffer.alloc(0)) as IfName,
    mac: bytesToMac(attributes.get(IFLA_ADDRESS) ?? Buffer.alloc(6)),
    mtu: attributes.get(IFLA_MTU)?.readUInt32LE(0) ?? 0,
    up: (data.readUInt32LE(8) & IFF_UP) !== 0,
    ethernet: data.readUInt16LE(2) === ARPHRD_ETHER,
    master: attributes.get(IFLA_MASTER)?.readUInt32LE(0),
    group: attributes.get(IFLA_GROUP)?.readUInt32LE(0) ?? 0,
    kind,
    tunnelPort:
      kind === 'vxlan' && details
        ? parseAttributes(details).get(IFLA_VXLAN_PORT)?.readUInt16BE(0)
        : undefined,
    peerIndex: attributes.get(IFLA_LINK)?.readUInt32LE(0),
    rxPackets: stats?.readBigUInt64LE(0) ?? 0n,
    txPackets: stats?.readBigUInt64LE(8) ?? 0n,
  };
}

/** What is built on network cards, and hands their properties on. */
const STACKED = new Set(['bond', 'team', 'vlan']);

/**
 * Whether packets of this link end in a network card. Drivers of hardware, and of what a virtual machine has in its
 * place, register no kind (net/core/rtnetlink.c). Unlike /sys/class/net, this is right in every network namespace.
 */
export function isNetworkCard({ ethernet, kind }: Pick<Link, 'ethernet' | 'kind'>): boolean {
  return ethernet && (kind === undefined || STACKED.has(kind));
}

export async function listLinks(netlink: Netlink): Promise<Link[]> {
  return (await netlink.dump('list the links', RTM_GETLINK, ifinfo())).map(parseLink);
}

/** @returns undefined when no link has this name. */
export async function findLink(netlink: Netlink, name: IfName): Promise<Link | undefined> {
  try {
    const answer = await netlink.request(
      `find link ${name}`,
      RTM_GETLINK,
      Buffer.concat([ifinfo(), attribute(IFLA_IFNAME, text(name))]),
    );
    return answer && parseLink(answer);
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === 'ENODEV') return undefined;
    throw error;
  }
}

/** A bridge that is up, without multicast snooping: the port programs decide who hears what. */
export async function createBridge(netlink: Netlink, name: IfName, mac: Mac, mtu: number): Promise<void> {
  const info = nested(
    IFLA_LINKINFO,
    attribute(IFLA_INFO_KIND, text('bridge')),
    nested(IFLA_INFO_DATA, attribute(IFLA_BR_MCAST_SNOOPING, u8(0))),
  );
  const attributes = [
    attribute(IFLA_IFNAME, text(name)),
    attribute(IFLA_ADDRESS, macToBytes(mac)),
    attribute(IFLA_MTU, u32(mtu)),
    info,
  ];
  await netlink.request(
    `create bridge ${name}`,
    RTM_NEWLINK,
    Buffer.concat([ifinfo(0, IFF_UP, IFF_UP), ...attributes]),
    NLM_F_CREATE | NLM_F_EXCL,
  );
}

export interface VxlanDevice {
  /** UDP port. */
  readonly port: number;
  /** Whose packets it takes; default: everybody's, with what VNI they had. */
  readonly vni?: number;
  /** Index of the bridge it becomes a port of. */
  readonly bridge?: number;
  readonly mtu?: number;
}

/**
 * A vxlan device that knows no peers. It is made down, and opens its port when it comes up.
 * @throws NetlinkError `EEXIST` when the name is taken, or the VNI at this port; `EOPNOTSUPP` when the kernel has no vxlan
 */
export async function createVxlan(
  netlink: Netlink,
  name: IfName,
  { port, vni, bridge, mtu }: VxlanDevice,
): Promise<void> {
  const portBytes = Buffer.alloc(2);
  portBytes.writeUInt16BE(port);
  const info = nested(
    IFLA_LINKINFO,
    attribute(IFLA_INFO_KIND, text('vxlan')),
    nested(
      IFLA_INFO_DATA,
      vni === undefined ? attribute(IFLA_VXLAN_COLLECT_METADATA, u8(1)) : attribute(IFLA_VXLAN_ID, u32(vni)),
      attribute(IFLA_VXLAN_PORT, portBytes),
    ),
  );
  const attributes = [
    attribute(IFLA_IFNAME, text(name)),
    ...(mtu === undefined ? [] : [attribute(IFLA_MTU, u32(mtu))]),
    ...(bridge === undefined ? [] : [attribute(IFLA_MASTER, u32(bridge))]),
    info,
  ];
  await netlink.request(
    `create vxlan device ${name}`,
    RTM_NEWLINK,
    Buffer.concat([ifinfo(), ...attributes]),
    NLM_F_CREATE | NLM_F_EXCL,
  );
}

export interface GroupTunnel {
  readonly name: IfName;
  readonly mac: Mac;
  readonly mtu: number;
  /** UDP port. */
  readonly port: number;
  /** The VXLAN network id. */
  readonly vni: number;
  /** The outer source address. */
  readonly local: Ipv4;
}

/**
 * A vxlan device that knows whom it is told of and learns nothing, and carries the low 16 bits of the packet mark as the
 * group id (IFLA_VXLAN_GBP). It is made down.
 * @throws NetlinkError `EEXIST` when the name is taken, `EOPNOTSUPP` when the kernel has no vxlan
 */
export async function createGroupTunnel(
  netlink: Netlink,
  { name, mac, mtu, port, vni, local }: GroupTunnel,
): Promise<void> {
  const data = [
    attribute(IFLA_VXLAN_ID, u32(vni)),
    attribute(IFLA_VXLAN_LOCAL, ipv4ToBytes(local)),
    attribute(IFLA_VXLAN_LEARNING, u8(0)),
    attribute(IFLA_VXLAN_PORT, u16be(port)),
    attribute(IFLA_VXLAN_GBP, Buffer.alloc(0)),
  ];
  const attributes = [
    attribute(IFLA_IFNAME, text(name)),
    attribute(IFLA_ADDRESS, macToBytes(mac)),
    attribute(IFLA_MTU, u32(mtu)),
    nested(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, text('vxlan')), nested(IFLA_INFO_DATA, ...data)),
  ];
  await netlink.request(
    `create tunnel ${name}`,
    RTM_NEWLINK,
    Buffer.concat([ifinfo(), ...attributes]),
    NLM_F_CREATE | NLM_F_EXCL,
  );
}

export interface VethPair {
  readonly hostIf: IfName;
  readonly hostMac: Mac;
  readonly mtu: number;
  /** Index of the bridge the host end becomes a port of. */
  readonly master: number;
  readonly group: number;
  readonly peerIf: IfName;
  readonly peerMac: Mac;
  /** The container's namespace: the peer is born there and never seen by the host. */
  readonly peerNetnsFd: number;
}

/**
 * Makes a veth pair, down at both ends: the fence is attached before anything can flow.
 * @throws NetlinkError `EEXIST` when either name is taken in its namespace.
 */
export async function createVeth(netlink: Netlink, pair: VethPair): Promise<void> {
  const peer = Buffer.concat([
    ifinfo(),
    attribute(IFLA_IFNAME, text(pair.peerIf)),
    attribute(IFLA_ADDRESS, macToBytes(pair.peerMac)),
    attribute(IFLA_MTU, u32(pair.mtu)),
    attribute(IFLA_NET_NS_FD, u32(pair.peerNetnsFd)),
  ]);
  const attributes = [
    attribute(IFLA_IFNAME, text(pair.hostIf)),
    attribute(IFLA_ADDRESS, macToBytes(pair.hostMac)),
    attribute(IFLA_MTU, u32(pair.mtu)),
    attribute(IFLA_MASTER, u32(pair.master)),
    attribute(IFLA_GROUP, u32(pair.group)),
    nested(
      IFLA_LINKINFO,
      attribute(IFLA_INFO_KIND, text('veth')),
      nested(IFLA_INFO_DATA, nested(VETH_INFO_PEER, peer)),
    ),
  ];
  await netlink.request(
    `create ${pair.hostIf} with ${pair.peerIf} in the container`,
    RTM_NEWLINK,
    Buffer.concat([ifinfo(), ...attributes]),
    NLM_F_CREATE | NLM_F_EXCL,
  );
}

export interface LocalPair {
  readonly names: readonly [IfName, IfName];
  readonly mtu: number;
}

/**
 * Makes a veth pair with both ends here, both down.
 * @throws NetlinkError `EEXIST` when either name is taken.
 */
export async function createLocalPair(
  netlink: Netlink,
  { names: [name, peerName], mtu }: LocalPair,
): Promise<void> {
  const peer = [ifinfo(), attribute(IFLA_IFNAME, text(peerName)), attribute(IFLA_MTU, u32(mtu))];
  const info = nested(
    IFLA_LINKINFO,
    attribute(IFLA_INFO_KIND, text('veth')),
    nested(IFLA_INFO_DATA, nested(VETH_INFO_PEER, ...peer)),
  );
  await netlink.request(
    `create ${name} with ${peerName}`,
    RTM_NEWLINK,
    Buffer.concat([ifinfo(), attribute(IFLA_IFNAME, text(name)), attribute(IFLA_MTU, u32(mtu)), info]),
    NLM_F_CREATE | NLM_F_EXCL,
  );
}

export async function setLinkUp(netlink: Netlink, index: number): Promise<void> {
  await netlink.request(`bring link ${index} up`, RTM_SETLINK, ifinfo(index, IFF_UP, IFF_UP));
}

export async function setLinkMaster(netlink: Netlink, index: number, master: number): Promise<void> {
  await netlink.request(
    `make link ${index} a port of bridge ${master}`,
    RTM_SETLINK,
    Buffer.concat([ifinfo(index), attribute(IFLA_MASTER, u32(master))]),
  );
}

export async function setLinkMtu(netlink: Netlink, index: number, mtu: number): Promise<void> {
  await netlink.request(
    `set the MTU of link ${index} to ${mtu}`,
    RTM_SETLINK,
    Buffer.concat([ifinfo(index), attribute(IFLA_MTU, u32(mtu))]),
  );
}

export async function setLinkMac(netlink: Netlink, index: number, mac: Mac): Promise<void> {
  await netlink.request(
    `set the MAC of link ${index} to ${mac}`,
    RTM_SETLINK,
    Buffer.concat([ifinfo(index), attribute(IFLA_ADDRESS, macToBytes(mac))]),
  );
}

/**
 * A bridge port that neither learns addresses nor hears frames meant for others: what is where
 * is written down by us, so that no container can move an address or fill the table.
 *
 * @param hairpin  whether a frame may leave by the port it came in: needed by a container that
 *   uses a port it publishes itself, where the bridge calls iptables (br_netfilter)
 */
export async function lockBridgePort(netlink: Netlink, index: number, hairpin: boolean): Promise<void> {
  const info = nested(
    IFLA_LINKINFO,
    attribute(IFLA_INFO_SLAVE_KIND, text('bridge')),
    nested(
      IFLA_INFO_SLAVE_DATA,
      attribute(IFLA_BRPORT_MODE, u8(hairpin ? 1 : 0)),
      attribute(IFLA_BRPORT_LEARNING, u8(0)),
      attribute(IFLA_BRPORT_UNICAST_FLOOD, u8(0)),
    ),
  );
  await netlink.request(`stop learning on port ${index}`, RTM_NEWLINK, Buffer.concat([ifinfo(index), info]));
}

/** A device that gives back what filters send to it, behind a queue of its own. It is made up. */
export async function createIfb(netlink: Netlink, name: IfName, mtu: number): Promise<void> {
  await netlink.request(
    `create ${name}`,
    RTM_NEWLINK,
    Buffer.concat([
      ifinfo(0, IFF_UP, IFF_UP),
      attribute(IFLA_IFNAME, text(name)),
      attribute(IFLA_MTU, u32(mtu)),
      nested(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, text('ifb'))),
    ]),
    NLM_F_CREATE | NLM_F_EXCL,
  );
}

/** A bridge port that learns nothing and hears nothing: frames only come in by it. */
export async function muteBridgePort(netlink: Netlink, index: number): Promise<void> {
  const off = [
    IFLA_BRPORT_LEARNING,
    IFLA_BRPORT_UNICAST_FLOOD,
    IFLA_BRPORT_MCAST_FLOOD,
    IFLA_BRPORT_BCAST_FLOOD,
  ];
  const info = nested(
    IFLA_LINKINFO,
    attribute(IFLA_INFO_SLAVE_KIND, text('bridge')),
    nested(IFLA_INFO_SLAVE_DATA, ...off.map((type) => attribute(type, u8(0)))),
  );
  await netlink.request(`mute port ${index}`, RTM_NEWLINK, Buffer.concat([ifinfo(index), info]));
}

/** Removes one link; its veth peer goes with it. One that is gone already is no error. */
export async function removeLink(netlink: Netlink, index: number): Promise<void> {
  await ignoring('ENODEV', netlink.request(`remove link ${index}`, RTM_DELLINK, ifinfo(index)));
}

/**
 * The payload that removes all links of a group with one message, which costs the kernel one
 * round of waiting instead of one for each.
 *
 * @param group  never 0: that is where every other link of the machine is
 */
export function linkGroupRemoval(group: number): Buffer {
  if (group === 0) throw new RangeError('link group 0 holds the machine');
  return Buffer.concat([ifinfo(), attribute(IFLA_GROUP, u32(group))]);
}

/** Waits for a request and lets one kind of refusal pass, because it means 'already so'. */
export async function ignoring(errno: string, request: Promise<unknown>): Promise<void> {
  try {
    await request;
  } catch (error) {
    if (!(error instanceof NetlinkError && error.errno === errno)) throw error;
  }
}
