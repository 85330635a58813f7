/**
 * Keeps a device that sends nothing and hears nothing, for one property: it says that it puts tunnel headers before
 * packets. The bridge it is a port of hands that on to all others (net/bridge/br_if.c, update_headroom), so containers
 * leave room for a carrier before their packets, and the kernel need not move each into a larger buffer at the uplink.
 * There is no more direct way to ask this of a veth pair. The device stays down, and a bridge uses no port that is down.
 */
import { createVxlan, findLink, type Link, removeLink } from '../linux/links.ts';
import type { Netlink } from '../linux/netlink.ts';
import type { IfName } from '../model/names.ts';
import type { PortPlane } from '../tagqueue/port-binding.ts';
import type { NodeFacts } from './facts.ts';
import { requireLink } from './kernel.ts';
import { headroomName } from './names.ts';

export interface Headroom {
  readonly name: IfName;
  /** Index of the internal bridge. */
  readonly bridge: number;
  /** The bridge's: it takes over the smallest of its ports. */
  readonly mtu: number;
  /** UDP port of the tunnel between hosts. Its device holds the port, so this one cannot come up beside it. */
  readonly port: number;
}

export type HeadroomAction = { readonly do: 'remove'; readonly index: number } | { readonly do: 'create' };

/** In the order of doing. The device is made whole in one message, and anew where anything is not as wanted. */
export function planHeadroom(
  { bridge, mtu, port }: Headroom,
  link: Pick<Link, 'index' | 'kind' | 'tunnelPort' | 'master' | 'mtu' | 'up'> | undefined,
): HeadroomAction[] {
  if (link === undefined) return [{ do: 'create' }];
  const right = link.kind === 'vxlan' && link.tunnelPort === port && link.master === bridge;
  if (right && link.mtu === mtu && !link.up) return [];
  return [{ do: 'remove', index: link.index }, { do: 'create' }];
}

/**
 * @param programs  undefined: a plane whose tags are put on in userland, where room in the kernel is of no use
 * @returns whether anything had to be done
 * @throws SluiceError `kernel_refused`: without vxlan in the kernel. Packets are then moved one by one, which is
 *   right, and slower.
 */
export async function keepHeadroom(
  route: Netlink,
  programs: PortPlane['programs'],
  { node, bridges: { internal } }: NodeFacts,
  port: number,
): Promise<boolean> {
  const name = headroomName(node);
  const link = await findLink(route, name);
  if (programs === undefined) {
    if (link?.kind === 'vxlan') await removeLink(route, link.index);
    return link?.kind === 'vxlan';
  }
  const bridge = (await requireLink(route, internal.name)).index;
  const wanted: Headroom = { name, bridge, mtu: internal.mtu, port };
  const actions = planHeadroom(wanted, link);
  for (const action of actions) {
    if (action.do === 'remove') await removeLink(route, action.index);
    // Two devices of a machine may not have port and VNI in common; no two bridges have an index in common.
    else await createVxlan(route, name, { port, vni: bridge, bridge, mtu: internal.mtu });
  }
  return actions.length > 0;
}
