/** What other nodes must know of a node's uplink: the address by which they reach it, and whether it is a network card. */
import { listAddresses } from '../../linux/addressing.ts';
import { findLink, isNetworkCard } from '../../linux/links.ts';
import { NETLINK_ROUTE, openNetlink } from '../../linux/netlink.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { SluiceError } from '../../model/errors.ts';
import type { IfName } from '../../model/names.ts';

export interface Uplink {
  /** Its first IPv4 address. */
  readonly address: Ipv4;
  readonly nic: boolean;
}

/** @throws SluiceError `not_found` when the uplink, or its address, is not there (yet) */
export async function uplinkAddress(uplink: IfName): Promise<Ipv4> {
  return (await observeUplink(uplink)).address;
}

/** @throws SluiceError `not_found` when the uplink, or its address, is not there (yet) */
export async function observeUplink(uplink: IfName): Promise<Uplink> {
  const route = openNetlink(NETLINK_ROUTE);
  try {
    const link = await findLink(route, uplink);
    if (link === undefined) throw missing(`there is no interface ${uplink}`);
    const found = (await listAddresses(route)).find(({ index }) => index === link.index);
    if (found === undefined) throw missing(`the uplink ${uplink} has no IPv4 address`);
    return { address: found.address, nic: isNetworkCard(link) };
  } finally {
    route.close();
  }
}

function missing(message: string): SluiceError {
  return new SluiceError('not_found', message, 'see `ip address`; name another uplink with --uplink');
}
