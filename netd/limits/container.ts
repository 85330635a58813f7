/** An attached container as the keeper of limits knows it: who it is, what limits it has from where, what the kernel holds. */
import { type Bandwidth, type Endpoint, endpointKey } from '../../model/endpoint.ts';
import type { Limits, Subject } from '../../model/limits.ts';
import type { HeldMount } from '../../model/mount-limits.ts';
import { IfName, type NodeName } from '../../model/names.ts';
import type { CgroupHints } from '../../qos/contract.ts';
import type { KnownContainer, KnownMount } from '../../qos/desired.ts';
import type { LimitRecords } from './records.ts';

export function subjectOf(endpoint: Endpoint, node: NodeName, zone: string | null): Subject {
  const { containerId, containerName, ifName, tenant, app, labels } = endpoint;
  return {
    ...{ node, zone, tenant, containerId, ifName, labels },
    app: app ?? containerName,
    instance: containerName,
  };
}

export function knownContainer(
  endpoint: Endpoint,
  subject: Subject,
  records: LimitRecords,
  { holdsCgroup, mounts }: Pick<KnownContainer, 'holdsCgroup' | 'mounts'>,
): KnownContainer {
  return {
    ...{ key: endpointKey(endpoint), subject, holdsCgroup, mounts },
    ports: endpoint.nics.map(({ hostIf, side }) => ({ hostIf, side })),
    app: { ...bandwidthLimits(endpoint), ...records.operator(endpoint.containerId) },
    captured: records.captured(endpoint.containerId),
  };
}

/** What a container without a network of ours is taken to have: a place in parts of the containers needs one. */
const ANY_INTERFACE = IfName.parse('eth0');

/** A container that has mounts, and of which nothing else is known: switches choose it by tenant, node and zone. */
export function stranger(
  { container, tenant }: HeldMount,
  mounts: readonly KnownMount[],
  node: NodeName,
  zone: string | null,
): KnownContainer {
  return {
    ...{ key: container, ports: [], app: {}, captured: undefined, holdsCgroup: false, mounts },
    subject: {
      ...{ node, zone, tenant, app: null, instance: null, containerId: container },
      ...{ ifName: ANY_INTERFACE, labels: {} },
    },
  };
}

/**
 * What the runtime asked for by the CNI capability, which has one rate for each direction: that of the primary
 * interface. Bursts are ours to choose: runtimes send the largest number there is.
 */
export function bandwidthLimits({ bandwidth, nics }: Pick<Endpoint, 'bandwidth' | 'nics'>): Limits {
  const side = nics[0]?.side;
  if (side === undefined || bandwidth === null) return {};
  const { ingressRate, egressRate }: Bandwidth = bandwidth;
  return {
    ...(ingressRate !== undefined && { [`net.${side}.in`]: ingressRate }),
    ...(egressRate !== undefined && { [`net.${side}.out`]: egressRate }),
  };
}

export function hintsOf({ containerId, cgroupPath, netnsInode }: Endpoint): CgroupHints {
  return { containerId, cgroupPath, netnsInode };
}

/** The attachment that holds the cgroup of its container: the first by name of those of one container. */
export function cgroupHolders(endpoints: readonly Endpoint[]): ReadonlySet<string> {
  const first = new Map<string, string>();
  for (const { containerId, ifName } of endpoints) {
    const present = first.get(containerId);
    if (present === undefined || ifName < present) first.set(containerId, ifName);
  }
  return new Set([...first].map(([containerId, ifName]) => `${containerId}/${ifName}`));
}
