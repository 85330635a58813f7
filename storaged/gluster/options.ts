/** Options of Gluster: the cluster's, and those of every volume, which are the same for all, so that their bricks share a process. */
import type { Ipv4 } from '../../model/addresses.ts';

/** Of the cluster as a whole; docs/gluster.md has the reason of each. */
export const CLUSTER_OPTIONS: Readonly<Record<string, string>> = {
  'cluster.brick-multiplex': 'on',
  'cluster.daemon-log-level': 'WARNING',
};

/** A file is spread over the bricks in pieces of this size. */
export const SHARD_BYTES = 64 * 2 ** 20;
/** Of small volumes: a set that is nearly full can lose no more than a piece. It is the least that Gluster takes. */
export const SMALL_SHARD_BYTES = 4 * 2 ** 20;
/** Of data, in a set; below it a set would have fewer than 64 large pieces. */
const SMALL_BELOW_BYTES = 64 * SHARD_BYTES;

/**
 * Only what decides of which translators a volume is made: Gluster builds and checks all graphs of a volume anew for each
 * option that is set. The others are put into its volfiles (storaged/glusterd/filter.c).
 */
const EVERY_VOLUME: Readonly<Record<string, string>> = { 'features.shard': 'on' };

export interface VolumeOptionsWish {
  /** Who may mount it, besides the storage nodes themselves. */
  readonly hosts: readonly Ipv4[];
  readonly tls: boolean;
  /** What one of its bricks holds of data; left out: much. */
  readonly brickBytes?: number;
}

/** All of a volume's options. */
export function volumeOptions({
  hosts,
  tls,
  brickBytes = Number.POSITIVE_INFINITY,
}: VolumeOptionsWish): Readonly<Record<string, string>> {
  return {
    ...EVERY_VOLUME,
    'features.shard-block-size': `${shardBytes(brickBytes) / 2 ** 20}MB`,
    'auth.allow': accessList(hosts),
    ...(tls && { 'client.ssl': 'on', 'server.ssl': 'on', 'auth.ssl-allow': '*' }),
  };
}

/** Of new files: each file keeps to the size that it began with. */
export function shardBytes(brickBytes: number): number {
  return brickBytes < SMALL_BELOW_BYTES ? SMALL_SHARD_BYTES : SHARD_BYTES;
}

/** Gluster takes an empty list for everybody; no client ever comes from this address (RFC 1122, 3.2.1.3). */
const NOBODY = '255.255.255.255';

/** The value of `auth.allow`. */
export function accessList(hosts: readonly Ipv4[]): string {
  return hosts.length === 0 ? NOBODY : [...new Set(hosts)].sort().join(',');
}

/** Of those wanted, what is held otherwise: Gluster takes its time for each order, also for one that changes nothing. */
export function differing(
  wanted: Readonly<Record<string, string>>,
  held: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(wanted).filter(([name, value]) => held[name] !== value));
}
