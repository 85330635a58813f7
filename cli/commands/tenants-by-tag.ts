/** Names for what the kernel knows by tag. */
import type { Tenant } from '../../model/cluster.ts';
import { listAll, pathTo, type ServerFlags, withServer } from './clients.ts';

/**
 * Without the server there are tags only; a tenant that was asked for must be known.
 * @returns names by tag: of all tenants, or of the one that was asked for
 */
export async function tenantsByTag(
  flags: ServerFlags & { readonly tenant?: string },
): Promise<ReadonlyMap<number, string>> {
  const { tenant } = flags;
  try {
    const tenants = await withServer(flags, async (client) =>
      tenant === undefined
        ? listAll<Tenant>(client, '/v1/tenants')
        : [(await client.request('GET', pathTo('/v1/tenants', tenant))) as Tenant],
    );
    return new Map(tenants.map((one) => [one.tag, one.tenant]));
  } catch (error) {
    if (tenant !== undefined) throw error;
    return new Map();
  }
}
