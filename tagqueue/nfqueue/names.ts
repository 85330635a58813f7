/** How the kernel objects of this plane are called: each carries the node's name. */
import { createHash } from 'node:crypto';
import type { IfName, NodeName } from '../../model/names.ts';
import type { DropReason } from '../reasons.ts';

/** iptables chains have at most 28 characters, and ours end in five of their own. */
const LONGEST_NODE = 14;

/** Name of the tables in the families bridge and ip; nftables wants words, so '-' becomes '_'. */
export function fenceTable(node: NodeName): string {
  return `sluice_fence_${node.replaceAll('-', '_')}`;
}

export function chainNames(node: NodeName): {
  readonly arrivals: string;
  readonly departures: string;
  /** Only in the gear `flows`. */
  readonly flowArrivals: string;
} {
  const short =
    node.length <= LONGEST_NODE
      ? node
      : `${node.slice(0, LONGEST_NODE - 7)}-${createHash('sha256').update(node).digest('hex').slice(0, 6)}`;
  return {
    arrivals: `SLUICE-${short}-in`,
    departures: `SLUICE-${short}-out`,
    flowArrivals: `SLUICE-${short}-flow`,
  };
}

/** Interface names have at most 15 characters (linux/if.h, IFNAMSIZ). */
const LONGEST_LINK = 15;

/** The node's end of the tunnel in the gear `flows`: `sg-NODE`; a long node name is cut and made unique by a hash. */
export function flowTunnel(node: NodeName): IfName {
  const whole = `sg-${node}`;
  if (whole.length <= LONGEST_LINK) return whole as IfName;
  const digest = createHash('sha256').update(node).digest('hex').slice(0, 4);
  return `${whole.slice(0, LONGEST_LINK - 5)}-${digest}` as IfName;
}

/** Its UDP port: the one beside that of the carrier `vxlan`, because the kernel has one kind of socket for each port. */
export function flowPort(vxlanPort: number): number {
  return vxlanPort < 65_535 ? vxlanPort + 1 : vxlanPort - 1;
}

/** The kernel's counter of a drop reason: some reasons are words of nft(8)'s own. */
export function counterOf(reason: DropReason): string {
  return `drop_${reason}`;
}

/** The host ends of containers are told by their link group: 0x5c in the top byte (netd/names.ts). */
export const PORT_GROUPS = { first: 0x5c00_0001, last: 0x5cff_ffff } as const;
