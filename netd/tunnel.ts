/**
 * Keeps the node's end of the tunnel that the carrier `vxlan` uses: a device whose UDP socket tells the kernel which
 * packets are tunnel packets, so that it merges what belongs together (GRO). Nothing ever comes out of it: the
 * uplink's programs take out every packet that is right, and the device itself is fenced like a port of nobody.
 */
import { createVxlan, findLink, ignoring, type Link, removeLink, setLinkUp } from '../linux/links.ts';
import type { Netlink } from '../linux/netlink.ts';
import { readSysctl, writeSysctl } from '../linux/sysctl.ts';
import { addClsact, attachProgram, type Direction, listPrograms } from '../linux/tc.ts';
import type { IfName } from '../model/names.ts';
import type { PortPlane } from '../tagqueue/port-binding.ts';
import { requireLink } from './kernel.ts';

export interface Tunnel {
  readonly name: IfName;
  /** UDP port. */
  readonly port: number;
}

type Programs = NonNullable<PortPlane['programs']>;

export type TunnelAction =
  | { readonly do: 'remove'; readonly index: number }
  | { readonly do: 'create' }
  | { readonly do: 'fence' }
  | { readonly do: 'raise' };

/** In the order of doing: the device is fenced before anything can flow. */
export function planTunnel(
  wanted: Tunnel,
  link: Pick<Link, 'index' | 'kind' | 'tunnelPort' | 'up'> | undefined,
  fenced: boolean,
): TunnelAction[] {
  const right = link?.kind === 'vxlan' && link.tunnelPort === wanted.port;
  if (!right)
    return [
      ...(link === undefined ? [] : [{ do: 'remove', index: link.index } as const]),
      ...(['create', 'fence', 'raise'] as const).map((step) => ({ do: step })),
    ];
  return [...(fenced ? [] : [{ do: 'fence' } as const]), ...(link.up ? [] : [{ do: 'raise' } as const])];
}

/**
 * @returns whether anything had to be done
 * @throws SluiceError `kernel_refused`: without vxlan in the kernel, or with somebody else on the port. Packets are
 *   then taken out of the tunnel one by one, which is right, and slower.
 */
export async function keepTunnel(
  route: Netlink,
  programs: PortPlane['programs'],
  wanted: Tunnel,
): Promise<boolean> {
  const link = await findLink(route, wanted.name);
  // A plane without programs has no tunnel, and nobody to fence one.
  if (programs === undefined) {
    if (link?.kind === 'vxlan') await removeLink(route, link.index);
    return link?.kind === 'vxlan';
  }
  const attached = link === undefined ? [] : await listPrograms(route, link.index);
  const fenced = [programs.port_in.id, programs.port_out.id].every((id) =>
    attached.some(({ programId }) => programId === id),
  );
  const actions = planTunnel(wanted, link, fenced);
  for (const action of actions) await applyOne(route, programs, wanted, action);
  return actions.length > 0;
}

async function applyOne(
  route: Netlink,
  programs: Programs,
  { name, port }: Tunnel,
  action: TunnelAction,
): Promise<void> {
  switch (action.do) {
    case 'remove':
      return removeLink(route, action.index);
    case 'create':
      await ignoring('EEXIST', createVxlan(route, name, { port }));
      return disableIpv6(name);
    case 'fence':
      return fence(route, programs, (await requireLink(route, name)).index);
    case 'raise':
      return setLinkUp(route, (await requireLink(route, name)).index);
  }
}

/** Else the kernel would look for neighbours there, and each question would be a refused packet. */
function disableIpv6(name: IfName): void {
  const setting = `net/ipv6/conf/${name}/disable_ipv6`;
  if (readSysctl(setting) !== undefined) writeSysctl(setting, '1');
}

async function fence(route: Netlink, programs: Programs, ifindex: number): Promise<void> {
  const attach = (direction: Direction, programFd: number, name: string): Promise<void> =>
    attachProgram(route, { ifindex, direction, programFd, name });
  await addClsact(route, ifindex);
  await attach('ingress', programs.port_in.fd, 'sluice_port_in');
  await attach('egress', programs.port_out.fd, 'sluice_port_out');
}
