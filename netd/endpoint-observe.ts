/** Reads what the kernel holds of an endpoint, as plain records. */
import {
  type Address,
  type ListedRoute,
  listAddresses,
  listNeighbours,
  listRoutes,
  type Neighbour,
} from '../linux/addressing.ts';
import { type Inside6, listInside6 } from '../linux/addressing6.ts';
import { type ForwardingEntry, listForwardingEntries } from '../linux/forwarding.ts';
import { type Link, listLinks } from '../linux/links.ts';
import { NETLINK_ROUTE, openNetlink } from '../linux/netlink.ts';
import { inNetns, type Netns } from '../linux/netns.ts';
import { listPrograms } from '../linux/tc.ts';
import type { Endpoint, Nic, Side } from '../model/endpoint.ts';
import type { IfName } from '../model/names.ts';
import type { PortPlane } from '../tagqueue/port-binding.ts';
import type { InsideNic, ObservedEndpoint, ObservedNic } from './endpoint-plan.ts';
import type { NodeFacts } from './facts.ts';
import type { Kernel } from './kernel.ts';
import { PORT_MAPS, publishedWordsOf } from './ruleset.ts';

/** What one look at the node shows of all its endpoints. */
export interface NodePicture {
  readonly links: ReadonlyMap<IfName, Link>;
  readonly neighbours: readonly Neighbour[];
  readonly forwarding: readonly ForwardingEntry[];
  readonly published: ReadonlySet<string>;
}

export async function pictureNode(kernel: Kernel, facts: NodeFacts): Promise<NodePicture> {
  const links = await listLinks(kernel.route);
  const neighbours = await listNeighbours(kernel.route);
  const forwarding = await listForwardingEntries(kernel.route);
  const published = PORT_MAPS.flatMap((map) =>
    publishedWordsOf(kernel.nft.list(`map ip ${facts.table} ${map}`) ?? []),
  );
  return {
    links: new Map(links.map((link) => [link.name, link])),
    neighbours,
    forwarding,
    published: new Set(published),
  };
}

/** @param netns  the container's namespace; undefined when it cannot be entered, and is then not looked into */
export async function observeEndpoint(
  kernel: Kernel,
  facts: NodeFacts,
  plane: PortPlane,
  picture: NodePicture,
  endpoint: Endpoint,
  netns: Netns | undefined,
): Promise<ObservedEndpoint> {
  const inside = netns && (await lookInside(netns));
  const nics = new Map<Side, ObservedNic>();
  for (const nic of endpoint.nics)
    nics.set(nic.side, await observeNic(kernel, facts, plane, picture, nic, inside));
  return {
    nics,
    published: picture.published,
    programs: plane.programs && {
      ingress: plane.programs.port_in.id,
      egress: plane.programs.port_out.id,
    },
  };
}

async function observeNic(
  kernel: Kernel,
  facts: NodeFacts,
  plane: PortPlane,
  picture: NodePicture,
  nic: Nic,
  inside: Inside | undefined,
): Promise<ObservedNic> {
  const link = picture.links.get(nic.hostIf);
  const bridgeIndex = picture.links.get(facts.bridges[nic.side].name)?.index;
  const programs = link === undefined ? [] : await listPrograms(kernel.route, link.index);
  return {
    link,
    bridgeIndex,
    programs: {
      ingress: programs.find(({ direction }) => direction === 'ingress')?.programId,
      egress: programs.find(({ direction }) => direction === 'egress')?.programId,
    },
    binding: link && plane.read(link.index),
    neighbour: picture.neighbours.find(
      (one) => one.dev === bridgeIndex && one.address === nic.address && one.permanent,
    )?.mac,
    forwarded: picture.forwarding.some(({ port, mac }) => port === link?.index && mac === nic.mac),
    inside: inside && insideNic(inside, nic),
  };
}

interface Inside {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  readonly routes: readonly ListedRoute[];
  readonly ipv6: Inside6;
}

async function lookInside(netns: Netns): Promise<Inside> {
  const netlink = inNetns(netns, () => openNetlink(NETLINK_ROUTE));
  try {
    return {
      links: await listLinks(netlink),
      addresses: await listAddresses(netlink),
      routes: await listRoutes(netlink),
      ipv6: await listInside6(netlink),
    };
  } finally {
    netlink.close();
  }
}

function insideNic({ links, addresses, routes, ipv6 }: Inside, nic: Nic): InsideNic | 'missing' {
  const link = links.find(({ name }) => name === nic.ifName);
  return link === undefined ? 'missing' : { link, addresses, routes, ipv6 };
}
