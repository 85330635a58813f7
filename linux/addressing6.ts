/** A container's IPv6 address, route and neighbour through rtnetlink (linux/rtnetlink.h, linux/if_addr.h). */
import {
  bytesToIpv6,
  type Ipv6,
  ipv6ToBytes,
  type Mac,
  macToBytes,
  type Pool6,
  pool6ToBytes,
} from '../model/addresses.ts';
import { NDA_LLADDR, ndmsg, RTM_NEWNEIGH } from './addressing.ts';
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

const AF_INET6 = 10;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const IFA_ADDRESS = 1;
/** The address is nobody else's: it need not be asked for first (RFC 4862, 5.4). */
const IFA_F_NODAD = 0x02;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RTN_UNICAST = 1;
/** The next hop is taken to be on-link although no address of ours says so. */
const RTNH_F_ONLINK = 4;
const NDA_DST = 1;
const NUD_PERMANENT = 0x80;
const HOST_PREFIX = 128;
const POOL_PREFIX = 96;

export interface Route6 {
  readonly to: Pool6;
  readonly via: Ipv6;
  readonly dev: number;
}

/** What a network namespace has of IPv6. */
export interface Inside6 {
  readonly addresses: readonly { readonly index: number; readonly address: string }[];
  /** Through a gateway, of the main table. */
  readonly routes: readonly { readonly to: string; readonly via: string; readonly dev: number | undefined }[];
}

/** Gives an interface its address, with nobody on-link. Repeating it is no error. */
export async function addAddress6(netlink: Netlink, index: number, address: Ipv6): Promise<void> {
  const payload = Buffer.concat([
    Buffer.from([AF_INET6, HOST_PREFIX, IFA_F_NODAD, 0]),
    u32(index),
    attribute(IFA_ADDRESS, ipv6ToBytes(address)),
  ]);
  await ignoring(
    'EEXIST',
    netlink.request(`give ${address} to link ${index}`, RTM_NEWADDR, payload, NLM_F_CREATE | NLM_F_EXCL),
  );
}

/** A route inside a container. Repeating it is no error. */
export async function addContainerRoute6(netlink: Netlink, { to, via, dev }: Route6): Promise<void> {
  const payload = Buffer.concat([
    Buffer.from([AF_INET6, POOL_PREFIX, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST]),
    u32(RTNH_F_ONLINK),
    attribute(RTA_DST, Buffer.concat([pool6ToBytes(to), Buffer.alloc(4)])),
    attribute(RTA_GATEWAY, ipv6ToBytes(via)),
    attribute(RTA_OIF, u32(dev)),
  ]);
  await ignoring(
    'EEXIST',
    netlink.request(`route ${to} in the container`, RTM_NEWROUTE, payload, NLM_F_CREATE | NLM_F_EXCL),
  );
}

/** Writes down which MAC an address has, for good. */
export async function setNeighbour6(netlink: Netlink, dev: number, address: Ipv6, mac: Mac): Promise<void> {
  const payload = Buffer.concat([
    ndmsg(AF_INET6, dev, NUD_PERMANENT, 0),
    attribute(NDA_DST, ipv6ToBytes(address)),
    attribute(NDA_LLADDR, macToBytes(mac)),
  ]);
  await netlink.request(`set neighbour ${address}`, RTM_NEWNEIGH, payload, NLM_F_CREATE | NLM_F_REPLACE);
}

/** Both lists are empty where the kernel has no IPv6. */
export async function listInside6(netlink: Netlink): Promise<Inside6> {
  const addresses = await netlink.dump(
    'list the IPv6 addresses',
    RTM_GETADDR,
    Buffer.from([AF_INET6, 0, 0, 0, 0, 0, 0, 0]),
  );
  const routes = await netlink.dump(
    'list the IPv6 routes',
    RTM_GETROUTE,
    Buffer.from([AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
  );
  return {
    addresses: addresses.flatMap((data) => {
      const address = parseAttributes(data.subarray(8)).get(IFA_ADDRESS);
      if (data[0] !== AF_INET6 || address === undefined) return [];
      return [{ index: data.readUInt32LE(4), address: bytesToIpv6(address) }];
    }),
    routes: routes.flatMap((data) => {
      const attributes = parseAttributes(data.subarray(12));
      const [to, via] = [attributes.get(RTA_DST), attributes.get(RTA_GATEWAY)];
      if (data[0] !== AF_INET6 || data[4] !== RT_TABLE_MAIN || to === undefined || via === undefined)
        return [];
      const dev = attributes.get(RTA_OIF)?.readUInt32LE(0);
      return [{ to: `${bytesToIpv6(to)}/${data[1]}`, via: bytesToIpv6(via), dev }];
    }),
  };
}
