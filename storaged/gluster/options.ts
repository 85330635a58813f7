/** Options of Gluster: the cluster's, and those of every volume, which are the same for all, so that their bricks share a process. */
import type { Ipv4 } from '../../model/addresses.ts';

/** Of the cluster as a whole; docs/gluster.md has the reason of each. */
export const CLUSTER_OPTIONS: Readonly<Record<string, string>> = {
  'cluster.brick-multiplex': 'on',
  'cluster.daemon-log-level': 'WARNING',
};

/** Seconds until a brick that does not answer counts as dead, and writers go on without it. */
export const PING_TIMEOUT_S = 5;
/** A file is spread over the bricks in pieces of this size. */
export const SHARD_BYTES = 64 * 2 ** 20;
/** Of small volumes: a set that is nearly full can lose no more than a piece. It is the least that Gluster takes. */
export const SMALL_SHARD_BYTES = 4 * 2 ** 20;
/** Of data, in a set; below it a set would have fewer than 64 large pieces. */
const SMALL_BELOW_BYTES = 64 * SHARD_BYTES;

/** Only what Gluster would not do by itself: each one makes `volume set` slower. docs/gluster.md has the reasons; a test compares. */
const EVERY_VOLUME: Readonly<Record<string, string>> = {
  'features.shard': 'on',
  'cluster.extra-hash-regex': '^[0-9a-f]{8}-[0-9a-f-]{27}[.]?[0-9]*([.0-9][0-9])$',
  'storage.reserve': '0',
  'cluster.min-free-disk': '5%',
  'network.ping-timeout': String(PING_TIMEOUT_S),
  'client.tcp-user-timeout': String(PING_TIMEOUT_S),
  'server.tcp-user-timeout': String(PING_TIMEOUT_S),
  'server.keepalive-time': String(PING_TIMEOUT_S),
  'server.keepalive-interval': '1',
  'server.keepalive-count': '5',
  'storage.health-check-interval': '0',
  'performance.write-behind': 'off',
  'performance.strict-o-direct': 'on',
  'performance.quick-read': 'off',
  'performance.open-behind': 'off',
  'performance.client-io-threads': 'off',
  'diagnostics.brick-log-level': 'WARNING',
  'diagnostics.client-log-level': 'WARNING',
};

/** Of volumes that hold copies. Only copies that can outvote the others take writes: a half that is cut off refuses. */
const REPLICATED: Readonly<Record<string, string>> = {
  'cluster.quorum-type': 'auto',
  'cluster.heal-timeout': '60',
  'cluster.data-self-heal-algorithm': 'full',
  'cluster.shd-max-threads': '4',
};

export interface VolumeOptionsWish {
  /** Whether bricks hold copies of each other. */
  readonly replicated: boolean;
  /** Who may mount it, besides the storage nodes themselves. */
  readonly hosts: readonly Ipv4[];
  readonly tls: boolean;
  /** What one of its bricks holds of data; left out: much. */
  readonly brickBytes?: number;
}

/** All of a volume's options. */
export function volumeOptions({
  replicated,
  hosts,
  tls,
  brickBytes = Number.POSITIVE_INFINITY,
}: VolumeOptionsWish): Readonly<Record<string, string>> {
  return {
    ...EVERY_VOLUME,
    'features.shard-block-size': `${shardBytes(brickBytes) / 2 ** 20}MB`,
    ...(replicated && REPLICATED),
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
