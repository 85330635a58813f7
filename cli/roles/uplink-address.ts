/** The address by which other nodes reach this one: the first IPv4 address of its uplink. */
import { listAddresses } from '../../linux/addressing.ts';
import { findLink } from '../../linux/links.ts';
import { NETLINK_ROUTE, openNetlink } from '../../linux/netlink.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { SluiceError } from '../../model/errors.ts';
import type { IfName } from '../../model/names.ts';

/** @throws SluiceError `not_found` when the uplink, or its address, is not there (yet) */
export async function uplinkAddress(uplink: IfName): Promise<Ipv4> {
  const route = openNetlink(NETLINK_ROUTE);
  try {
    const link = await findLink(route, uplink);
    if (link === undefined) throw missing(`there is no interface ${uplink}`);
    const found = (await listAddresses(route)).find(({ index }) => index === link.index);
    if (found === undefined) throw missing(`the uplink ${uplink} has no IPv4 address`);
    return found.address;
  } finally {
    route.close();
  }
}

function missing(message: string): SluiceError {
  return new SluiceError('not_found', message, 'see `ip address`; name another uplink with --uplink');
}
