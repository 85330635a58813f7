/** Addresses, routes and neighbours through rtnetlink (linux/rtnetlink.h, linux/neighbour.h). */
import {
  bytesToMac,
  type Cidr,
  cidrBroadcast,
  cidrNetwork,
  cidrPrefix,
  type Ipv4,
  ipv4ToBytes,
  type Mac,
  macToBytes,
} from '../model/addresses.ts';
import { ignoring } from './links.ts';
import {
  attribute,
  type Netlink,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  parseAttributes,
  u32,
} from './netlink.ts';

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;

const AF_INET = 2;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PREFSRC = 7;
const RTA_TABLE = 15;
const RT_TABLE_MAIN = 254;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;
const RTN_UNREACHABLE = 7;
const RTNH_F_ONLINK = 4;
const RTM_F_CLONED = 0x200;

const NDA_DST = 1;
export const NDA_LLADDR = 2;
const NUD_PERMANENT = 0x80;

/**
 * Routes we own carry this protocol number, so that we never read, change or remove an
 * administrator's. Free for use: rtnetlink(7), values above RTPROT_STATIC.
 */
export const OUR_ROUTES = 119;
/** What `ip route add` writes: inside a container the routes are the container's own. */
const RTPROT_BOOT = 3;

export interface Address {
  readonly index: number;
  readonly address: Ipv4;
  readonly prefix: number;
}

/** A route; without `dev` and `via` it refuses what it matches ('unreachable'). */
export interface Route {
  readonly to: Cidr | 'default';
  readonly via: Ipv4 | undefined;
  readonly dev: number | undefined;
  /** The address that the host itself answers from on this way; undefined: the kernel chooses. */
  readonly source?: Ipv4 | undefined;
  /** Whether `via` is a neighbour there although no address of the interface says so. */
  readonly onLink?: boolean | undefined;
}

export interface Neighbour {
  readonly dev: number;
  readonly address: Ipv4;
  readonly mac: Mac;
  readonly permanent: boolean;
}

function text4(bytes: Buffer): Ipv4 {
  return [...bytes.subarray(0, 4)].join('.') as Ipv4;
}

/** struct ifaddrmsg: family, prefix length, flags, scope, index. */
function ifaddr(prefix: number, index: number): Buffer {
  const out = Buffer.from([AF_INET, prefix, 0, 0, 0, 0, 0, 0]);
  out.writeUInt32LE(index, 4);
  return out;
}

/** Gives an interface its address, on-link for the whole block. Repeating it is no error. */
export async function addAddress(netlink: Netlink, index: number, address: Ipv4, block: Cidr): Promise<void> {
  const bytes = ipv4ToBytes(address);
  const attributes = [
    attribute(IFA_LOCAL, bytes),
    attribute(IFA_ADDRESS, bytes),
    attribute(IFA_BROADCAST, ipv4ToBytes(cidrBroadcast(block))),
  ];
  const payload = Buffer.concat([ifaddr(cidrPrefix(block), index), ...attributes]);
  await ignoring(
    'EEXIST',
    netlink.request(`give ${address} to link ${index}`, RTM_NEWADDR, payload, NLM_F_CREATE | NLM_F_EXCL),
  );
}

/** Takes an address from an interface. One that is not there is no error. */
export async function removeAddress(
  netlink: Netlink,
  index: number,
  address: Ipv4,
  block: Cidr,
): Promise<void> {
  const bytes = ipv4ToBytes(address);
  const attributes = [attribute(IFA_LOCAL, bytes), attribute(IFA_ADDRESS, bytes)];
  const payload = Buffer.concat([ifaddr(cidrPrefix(block), index), ...attributes]);
  await ignoring(
    'EADDRNOTAVAIL',
    netlink.request(`take ${address} from link ${index}`, RTM_DELADDR, payload),
  );
}

export async function listAddresses(netlink: Netlink): Promise<Address[]> {
  const entries = await netlink.dump('list the addresses', RTM_GETADDR, ifaddr(0, 0));
  return entries.flatMap((data) => {
    const local = parseAttributes(data.subarray(8)).get(IFA_LOCAL);
    return data[0] === AF_INET && local
      ? [{ index: data.readUInt32LE(4), address: text4(local), prefix: data.readUInt8(1) }]
      : [];
  });
}

/** struct rtmsg with the attributes every route of ours has. */
function routePayload(route: Route, protocol: number): Buffer {
  const prefix = route.to === 'default' ? 0 : cidrPrefix(route.to);
  const refusing = route.via === undefined && route.dev === undefined;
  const scope = route.via === undefined && !refusing ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  const header = Buffer.from([
    AF_INET,
    prefix,
    0,
    0,
    RT_TABLE_MAIN,
    protocol,
    scope,
    refusing ? RTN_UNREACHABLE : RTN_UNICAST,
    route.onLink === true ? RTNH_F_ONLINK : 0,
    0,
    0,
    0,
  ]);
  const attributes = [
    ...(route.to === 'default' ? [] : [attribute(RTA_DST, ipv4ToBytes(cidrNetwork(route.to)))]),
    ...(route.via === undefined ? [] : [attribute(RTA_GATEWAY, ipv4ToBytes(route.via))]),
    ...(route.dev === undefined ? [] : [attribute(RTA_OIF, u32(route.dev))]),
    ...(route.source === undefined ? [] : [attribute(RTA_PREFSRC, ipv4ToBytes(route.source))]),
  ];
  return Buffer.concat([header, ...attributes]);
}

/** A route of the node. A route of ours to the same destination is replaced in one step. */
export async function replaceRoute(netlink: Netlink, route: Route): Promise<void> {
  await netlink.request(
    `route ${route.to}`,
    RTM_NEWROUTE,
    routePayload(route, OUR_ROUTES),
    NLM_F_CREATE | NLM_F_REPLACE,
  );
}

/** A route inside a container. */
export async function addContainerRoute(netlink: Netlink, route: Route): Promise<void> {
  await netlink.request(
    `route ${route.to} in the container`,
    RTM_NEWROUTE,
    routePayload(route, RTPROT_BOOT),
    NLM_F_CREATE | NLM_F_EXCL,
  );
}

/** Removes a route of ours; one that is gone already is no error. */
export async function removeRoute(netlink: Netlink, route: Route): Promise<void> {
  await ignoring(
    'ESRCH',
    netlink.request(`remove the route to ${route.to}`, RTM_DELROUTE, routePayload(route, OUR_ROUTES)),
  );
}

export interface ListedRoute extends Route {
  readonly protocol: number;
}

/** The IPv4 routes of the main table, without what the kernel has learnt of single hosts (their path MTU, for example). */
export async function listRoutes(netlink: Netlink): Promise<ListedRoute[]> {
  const entries = await netlink.dump(
    'list the routes',
    RTM_GETROUTE,
    Buffer.from([AF_INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
  );
  return entries.flatMap((data) => {
    const attributes = parseAttributes(data.subarray(12));
    if ((attributes.get(RTA_TABLE)?.readUInt32LE(0) ?? data[4]) !== RT_TABLE_MAIN) return [];
    if ((data.readUInt32LE(8) & RTM_F_CLONED) !== 0) return [];
    const to = attributes.get(RTA_DST);
    const via = attributes.get(RTA_GATEWAY);
    const source = attributes.get(RTA_PREFSRC);
    return [
      {
        to: to === undefined ? ('default' as const) : (`${text4(to)}/${data[1]}` as Cidr),
        via: via && text4(via),
        dev: attributes.get(RTA_OIF)?.readUInt32LE(0),
        source: source && text4(source),
        protocol: data.readUInt8(5),
      },
    ];
  });
}

/** struct ndmsg: family, interface, state, flags, type. */
export function ndmsg(family: number, index: number, state: number, flags: number): Buffer {
  const out = Buffer.alloc(12);
  out.writeUInt8(family, 0);
  out.writeInt32LE(index, 4);
  out.writeUInt16LE(state, 8);
  out.writeUInt8(flags, 10);
  return out;
}

/** Writes down which MAC an address has, for good: nobody needs to ask, and nobody can lie. */
export async function setNeighbour(netlink: Netlink, dev: number, address: Ipv4, mac: Mac): Promise<void> {
  const payload = Buffer.concat([
    ndmsg(AF_INET, dev, NUD_PERMANENT, 0),
    attribute(NDA_DST, ipv4ToBytes(address)),
    attribute(NDA_LLADDR, macToBytes(mac)),
  ]);
  await netlink.request(`set neighbour ${address}`, RTM_NEWNEIGH, payload, NLM_F_CREATE | NLM_F_REPLACE);
}

/** One that is gone already, by itself or with its link, is no error. */
export async function removeNeighbour(netlink: Netlink, dev: number, address: Ipv4): Promise<void> {
  const payload = Buffer.concat([ndmsg(AF_INET, dev, 0, 0), attribute(NDA_DST, ipv4ToBytes(address))]);
  await ignoring('ENOENT', netlink.request(`remove neighbour ${address}`, RTM_DELNEIGH, payload));
}

export async function listNeighbours(netlink: Netlink): Promise<Neighbour[]> {
  const entries = await netlink.dump('list the neighbours', RTM_GETNEIGH, ndmsg(AF_INET, 0, 0, 0));
  return entries.flatMap((data) => {
    const attributes = parseAttributes(data.subarray(12));
    const address = attributes.get(NDA_DST);
    const mac = attributes.get(NDA_LLADDR);
    if (data[0] !== AF_INET || address === undefined || mac === undefined) return [];
    return [
      {
        dev: data.readInt32LE(4),
        address: text4(address),
        mac: bytesToMac(mac),
        permanent: (data.readUInt16LE(8) & NUD_PERMANENT) !== 0,
      },
    ];
  });
}
