/** Where Gluster listens on the nodes of a cluster: nobody but nodes has any business there. */

/** TCP ports from the first to the last, both included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** glusterd and its RDMA sibling (glusterfs, xlators/mgmt/glusterd). */
export const GLUSTERD_PORTS: PortRange = { first: 24_007, last: 24_008 };
/** The processes of bricks: what glusterd.vol names as base-port and max-port. */
export const BRICK_PORTS: PortRange = { first: 49_152, last: 60_999 };

export const GLUSTER_PORTS: readonly PortRange[] = [GLUSTERD_PORTS, BRICK_PORTS];

export function portText({ first, last }: PortRange): string {
  return first === last ? String(first) : `${first}-${last}`;
}
