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

/** docs/gluster.md has the reason of each; a test compares the names. */
const EVERY_VOLUME: Readonly<Record<string, string>> = {
  // Data
  'features.shard': 'on',
  'features.shard-block-size': `${SHARD_BYTES / 2 ** 20}MB`,
  'storage.reserve': '0',
  'storage.fips-mode-rchecksum': 'on',
  'cluster.min-free-disk': '5%',
  // Failure
  'network.ping-timeout': String(PING_TIMEOUT_S),
  'cluster.server-quorum-type': 'none',
  'cluster.favorite-child-policy': 'none',
  'cluster.ensure-durability': 'on',
  'storage.health-check-interval': '5',
  // Healing
  'cluster.self-heal-daemon': 'on',
  'cluster.heal-timeout': '60',
  'cluster.data-self-heal': 'off',
  'cluster.metadata-self-heal': 'off',
  'cluster.entry-self-heal': 'off',
  'cluster.data-self-heal-algorithm': 'full',
  'cluster.shd-max-threads': '4',
  'cluster.granular-entry-heal': 'on',
  // What is seen by other hosts, and when a writer hears of errors
  'performance.write-behind': 'off',
  'performance.flush-behind': 'off',
  'performance.strict-o-direct': 'on',
  'network.remote-dio': 'disable',
  'performance.quick-read': 'off',
  'performance.open-behind': 'off',
  'performance.io-cache': 'off',
  'performance.read-ahead': 'off',
  'performance.readdir-ahead': 'off',
  'performance.nl-cache': 'off',
  'performance.stat-prefetch': 'on',
  'performance.md-cache-timeout': '1',
  // Room and logs
  'performance.client-io-threads': 'off',
  'client.event-threads': '2',
  'server.event-threads': '2',
  'diagnostics.brick-log-level': 'WARNING',
  'diagnostics.client-log-level': 'WARNING',
  'nfs.disable': 'on',
};

/** Only copies that can outvote others take writes: a half that is cut off refuses instead of going its own way. */
const REPLICATED: Readonly<Record<string, string>> = { 'cluster.quorum-type': 'auto' };

export interface VolumeOptionsWish {
  /** Whether bricks hold copies of each other. */
  readonly replicated: boolean;
  /** Who may mount it, besides the storage nodes themselves. */
  readonly hosts: readonly Ipv4[];
  readonly tls: boolean;
}

/** All of a volume's options. */
export function volumeOptions({
  replicated,
  hosts,
  tls,
}: VolumeOptionsWish): Readonly<Record<string, string>> {
  return {
    ...EVERY_VOLUME,
    ...(replicated && REPLICATED),
    'auth.allow': accessList(hosts),
    ...(tls && { 'client.ssl': 'on', 'server.ssl': 'on', 'auth.ssl-allow': '*' }),
  };
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
