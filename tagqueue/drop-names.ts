/** Whose a refused packet was, in words: the tenant of a tag, and the container behind an interface. */
import type { ApiClient } from '../linux/api-client.ts';
import type { ClusterView } from '../model/cluster.ts';
import type { DropEvent } from '../model/drop.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { IfName, TenantName } from '../model/names.ts';

export interface DropNames {
  tenantOf(tag: number): TenantName | null;
  containerOf(hostIf: IfName | undefined): DropEvent['container'];
  /** Asks netd when one of these is not known yet, and not more often than once a second. It may be away. */
  learn(hostIfs: Iterable<IfName>): Promise<void>;
}

const ASK_EVERY_MS = 1_000;

/**
 * @param view  the newest picture of the cluster
 * @param netd  whose containers they are; undefined: nobody knows
 */
export function createDropNames(
  view: () => Pick<ClusterView, 'tenants'> | undefined,
  netd: Pick<ApiClient, 'request'> | undefined,
): DropNames {
  let tags: { readonly of: unknown; readonly names: ReadonlyMap<number, TenantName> } | undefined;
  let containers: ReadonlyMap<string, DropEvent['container']> = new Map();
  let askedAt = Number.NEGATIVE_INFINITY;

  return {
    tenantOf(tag): TenantName | null {
      const tenants = view()?.tenants;
      if (tags === undefined || tags.of !== tenants)
        tags = {
          of: tenants,
          names: new Map([...(tenants?.values() ?? [])].map((one) => [one.tag, one.tenant])),
        };
      return tags.names.get(tag) ?? null;
    },
    containerOf: (hostIf) => (hostIf === undefined ? null : (containers.get(hostIf) ?? null)),
    async learn(hostIfs): Promise<void> {
      if (netd === undefined || [...hostIfs].every((hostIf) => containers.has(hostIf))) return;
      if (performance.now() - askedAt < ASK_EVERY_MS) return;
      askedAt = performance.now();
      const answer = await netd.request('GET', '/v1/endpoints').catch(() => undefined);
      if (answer !== undefined) containers = byHostEnd((answer as { endpoints: Endpoint[] }).endpoints);
    },
  };
}

function byHostEnd(endpoints: readonly Endpoint[]): ReadonlyMap<string, DropEvent['container']> {
  return new Map(
    endpoints.flatMap(({ containerId, containerName, nics }) =>
      nics.map(({ hostIf, ifName }) => [hostIf, { id: containerId, name: containerName, ifName }] as const),
    ),
  );
}
