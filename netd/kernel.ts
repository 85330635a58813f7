/** The handles through which netd reaches its node's kernel. Opened once, in the node's network namespace. */
import { type LinkReaper, openLinkReaper } from '../linux/link-reaper.ts';
import { findLink, type Link } from '../linux/links.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE, type Netlink, openNetlink } from '../linux/netlink.ts';
import { type Nftables, openNftables } from '../linux/nft.ts';
import { SluiceError } from '../model/errors.ts';
import type { IfName } from '../model/names.ts';

export interface Kernel {
  readonly route: Netlink;
  readonly netfilter: Netlink;
  readonly nft: Nftables;
  readonly reaper: LinkReaper;
  close(): void;
}

export function openKernel(): Kernel {
  const route = openNetlink(NETLINK_ROUTE);
  const netfilter = openNetlink(NETLINK_NETFILTER);
  const nft = openNftables();
  const reaper = openLinkReaper();
  return {
    route,
    netfilter,
    nft,
    reaper,
    close(): void {
      for (const handle of [route, netfilter, nft, reaper]) handle.close();
    },
  };
}

/** @throws SluiceError `not_found`. */
export async function requireLink(route: Netlink, name: IfName): Promise<Link> {
  const link = await findLink(route, name);
  if (link === undefined)
    throw new SluiceError('not_found', `there is no network interface ${name}`, 'see `ip link`');
  return link;
}
