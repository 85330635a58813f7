/** How the kernel objects of a node are called: each carries the node's name, so that several nodes can share a machine. */
import { createHash } from 'node:crypto';
import { type Endpoint, endpointKey, type Side } from '../model/endpoint.ts';
import type { ContainerId, IfName, NodeName } from '../model/names.ts';
import type { AccountId } from '../model/usage.ts';

/** IFNAMSIZ less the closing NUL (linux/if.h). */
const LONGEST = 15;
/** Two letters, the side and twelve hex digits: 48 bits of hash, so that a clash is not to be met. */
const HOST_END = /^s[ei][0-9a-f]{12}$/;

/** Our link groups: 0x5c in the top byte tells them from an administrator's. */
export const FIRST_GROUP = 0x5c00_0001;
export const LAST_GROUP = 0x5cff_ffff;

function digest(text: string, digits: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digits);
}

/** The node's bridge of a side: `se-NODE` or `si-NODE`; a long node name is cut and made unique by a hash. */
export function bridgeName(node: NodeName, side: Side): IfName {
  return nodeLinkName(`s${side[0]}`, node);
}

/** The node's end of the tunnel between hosts: `sx-NODE`. */
export function tunnelName(node: NodeName): IfName {
  return nodeLinkName('sx', node);
}

/** The port of the internal bridge that makes containers leave room before their packets: `sh-NODE`. */
export function headroomName(node: NodeName): IfName {
  return nodeLinkName('sh', node);
}

/** The pair of interfaces through which limited ports of a side lead: `soi-NODE`, `sri-NODE` and `soe-NODE`, `sre-NODE`. */
export function shaperNames(node: NodeName, side: Side): { readonly out: IfName; readonly in: IfName } {
  return { out: nodeLinkName(`so${side[0]}`, node), in: nodeLinkName(`sr${side[0]}`, node) };
}

function nodeLinkName(prefix: string, node: NodeName): IfName {
  const whole = `${prefix}-${node}`;
  return (whole.length <= LONGEST ? whole : `${whole.slice(0, LONGEST - 5)}-${digest(node, 4)}`) as IfName;
}

/** The nftables table of a node; nftables wants words, so '-' becomes '_'. */
export function tableName(node: NodeName): string {
  return `sluice_${node.replaceAll('-', '_')}`;
}

/** The host's end of a container's interface. It follows from the attachment, so that a repeated ADD cannot make a second. */
export function hostEndName(node: NodeName, container: ContainerId, ifName: IfName, side: Side): IfName {
  return `s${side[0]}${digest(`${node}/${container}/${ifName}`, 12)}` as IfName;
}

export function looksLikeHostEnd(name: string): boolean {
  return HOST_END.test(name);
}

/** Where the search for a free link group starts. */
export function preferredGroup(container: ContainerId, ifName: IfName): number {
  return (
    FIRST_GROUP + (Number.parseInt(digest(`${container}/${ifName}`, 6), 16) % (LAST_GROUP - FIRST_GROUP))
  );
}

/** The account of one side of an attachment. A later one of the same container gets another. */
export function accountOf(
  endpoint: Pick<Endpoint, 'containerId' | 'ifName' | 'createdAt'>,
  side: Side,
): AccountId {
  return BigInt(`0x${digest(`${endpointKey(endpoint)}/${side}/${endpoint.createdAt}`, 16)}`) as AccountId;
}
