/** Decides what becomes of a node that presents itself: a newcomer, one that moved, or an impostor. */

import type { Cidr, Ipv4 } from '../../model/addresses.ts';
import { cidrContains } from '../../model/addresses.ts';
import type { ClusterNode, ClusterSettings } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import type { Labels } from '../../model/limits.ts';
import type { NodeName } from '../../model/names.ts';
import { nextBlock } from './allot-block.ts';

export interface Newcomer {
  readonly node: NodeName;
  readonly uplinkAddress: Ipv4;
  /** Whether the uplink is a network card; a node that joins does not know yet. */
  readonly nic?: boolean | undefined;
  readonly zone?: string | null | undefined;
  readonly labels?: Labels | undefined;
}

/**
 * @param others  all nodes but this one
 * @returns the newcomer with the lowest free block on each side
 * @throws SluiceError `address_taken`, `invalid_request` (uplink), `addresses_exhausted`
 */
export function planNewNode(
  { node, uplinkAddress, nic = false, zone = null, labels = {} }: Newcomer,
  others: readonly ClusterNode[],
  settings: ClusterSettings,
  now: number,
): ClusterNode {
  checkUplink(uplinkAddress, others, settings);
  const free = (pool: Cidr, taken: readonly Cidr[]): Cidr => nextBlock(pool, settings.blockPrefix, taken);
  return {
    node,
    uplinkAddress,
    internalBlock: free(
      settings.internalPool,
      others.map((other) => other.internalBlock),
    ),
    externalBlock: free(
      settings.externalPool,
      others.map((other) => other.externalBlock),
    ),
    nic,
    zone,
    labels,
    fenced: false,
    joinedAt: now,
  };
}

/**
 * A node that is known keeps its blocks, because its containers live in them; and it stays fenced, if it is.
 * @throws SluiceError `address_taken`, `invalid_request`
 */
export function planKnownNode(
  known: ClusterNode,
  { uplinkAddress, nic = known.nic, zone = known.zone, labels = known.labels }: Omit<Newcomer, 'node'>,
  others: readonly ClusterNode[],
  settings: ClusterSettings,
): ClusterNode {
  checkUplink(uplinkAddress, others, settings);
  return { ...known, uplinkAddress, nic, zone, labels };
}

/** An uplink is the next hop to a node's block: shared, or itself inside a pool, it would lead packets astray. */
function checkUplink(uplink: Ipv4, others: readonly ClusterNode[], settings: ClusterSettings): void {
  const holder = others.find((other) => other.uplinkAddress === uplink);
  if (holder !== undefined) {
    const hint = 'give each node an uplink address of its own, or delete the node that is gone';
    throw new SluiceError('address_taken', `node ${holder.node} has the uplink address ${uplink}`, hint);
  }
  const pool = [settings.internalPool, settings.externalPool].find((one) => cidrContains(one, uplink));
  if (pool === undefined) return;
  const hint =
    'make the cluster with pools that are in use nowhere else (network.internalPool, network.externalPool)';
  throw new SluiceError('invalid_request', `the uplink address ${uplink} lies in the pool ${pool}`, hint);
}
