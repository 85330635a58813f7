/** The handles through which netd reaches its node's kernel. Opened once, in the node's network namespace. */
import { type Conntrack, openConntrack } from '../linux/conntrack.ts';
import { type LinkReaper, openLinkReaper } from '../linux/link-reaper.ts';
import { findLink, type Link } from '../linux/links.ts';
import { NETLINK_ROUTE, type Netlink, openNetlink } from '../linux/netlink.ts';
import { type Nftables, openNftables } from '../linux/nft.ts';
import { SluiceError } from '../model/errors.ts';
import type { IfName } from '../model/names.ts';

export interface Kernel {
  readonly route: Netlink;
  readonly conntrack: Conntrack;
  readonly nft: Nftables;
  readonly reaper: LinkReaper;
  close(): void;
}

export function openKernel(): Kernel {
  const route = openNetlink(NETLINK_ROUTE);
  const conntrack = openConntrack();
  const nft = openNftables();
  const reaper = openLinkReaper();
  return {
    route,
    conntrack,
    nft,
    reaper,
    close(): void {
      for (const handle of [route, conntrack, nft, reaper]) handle.close();
    },
  };
}

/** Finds links by name, each once: their indexes do not change while an endpoint is worked at. */
export type LinkFinder = (name: IfName) => Promise<Link>;

/** What it is asked for first must exist by then. */
export function createLinkFinder(route: Netlink): LinkFinder {
  const found = new Map<IfName, Promise<Link>>();
  return (name) => {
    const link = found.get(name) ?? requireLink(route, name);
    found.set(name, link);
    return link;
  };
}

/** @throws SluiceError `not_found`. */
export async function requireLink(route: Netlink, name: IfName): Promise<Link> {
  const link = await findLink(route, name);
  if (link === undefined)
    throw new SluiceError('not_found', `there is no network interface ${name}`, 'see `ip link`');
  return link;
}
