/** Whose container is it? The one question on which the fence stands, answered in one pure function. */
import type { Tenant } from '../model/cluster.ts';
import { SluiceError } from '../model/errors.ts';
import type { NamespaceName, TenantName } from '../model/names.ts';

/** Everything the answer may depend on. Pod annotations are not here: tenants write those. */
export interface TenantQuestion {
  readonly conf: { readonly tenant?: TenantName | undefined; readonly trustArgs: boolean };
  readonly args: { readonly tenant: TenantName | null; readonly podNamespace: NamespaceName | null };
  /** The server's map of Kubernetes namespaces. */
  readonly namespaceMap: ReadonlyMap<NamespaceName, TenantName>;
  readonly tenants: ReadonlyMap<TenantName, Tenant>;
}

/**
 * In this order: SLUICE_TENANT where the network trusts arguments, else the tenant of the pod's namespace,
 * else the network's own tenant, else nobody's.
 *
 * SLUICE_TENANT on a network that does not trust it decides nothing, but must not contradict: ignored, it
 * would start the container as the network's tenant while its owner believes it to be another's, and its
 * data would be served inside the wrong fence, silently. Refused, it does not start, and the error says why.
 *
 * @throws SluiceError `refused`: an untrusted argument, or no tenant at all; `unknown_tenant`
 */
export function decideTenant({ conf, args, namespaceMap, tenants }: TenantQuestion): Tenant {
  const ofNamespace = args.podNamespace === null ? undefined : namespaceMap.get(args.podNamespace);
  const trusted = conf.trustArgs ? args.tenant : null;
  const name = trusted ?? ofNamespace ?? conf.tenant;
  if (args.tenant !== null && args.tenant !== name) {
    throw new SluiceError(
      'refused',
      `CNI_ARGS names the tenant ${args.tenant}, but this network does not trust arguments`,
      'leave SLUICE_TENANT out, or set "trustArgs": true if only operators can write CNI_ARGS here',
    );
  }
  if (name === undefined) {
    const pod = args.podNamespace === null ? '' : `: the namespace ${args.podNamespace} is mapped to none`;
    throw new SluiceError(
      'refused',
      `no tenant for this container${pod}`,
      'set "tenant" in the network configuration, map the namespace, or trust SLUICE_TENANT',
    );
  }
  const tenant = tenants.get(name);
  if (tenant !== undefined) return tenant;
  throw new SluiceError(
    'unknown_tenant',
    `there is no tenant ${name}`,
    `create it: sluice tenant create ${name}`,
  );
}
