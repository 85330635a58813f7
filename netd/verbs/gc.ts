/** GC: takes away every endpoint of a network that the runtime does not name. */
import type { GcRequest } from '../../cni/request.ts';
import { endpointKey } from '../../model/endpoint.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import type { Netd } from '../context.ts';
import { removeEndpoint } from './del.ts';

/** Goes on past failures. @throws SluiceError with all of them, once everything has been tried. */
export async function gc(netd: Netd, request: GcRequest): Promise<void> {
  const valid = new Set(request.validAttachments.map(endpointKey));
  const stale = netd.registry
    .all()
    .filter((endpoint) => endpoint.network === request.network && !valid.has(endpointKey(endpoint)));
  const failures: string[] = [];
  for (const endpoint of stale) {
    await netd
      .locks(endpoint.containerId, async () => {
        // It may have gone while we waited for the lock.
        const present = netd.registry.get(endpoint.containerId, endpoint.ifName);
        if (present !== undefined) await removeEndpoint(netd, present);
      })
      .catch((error: unknown) => failures.push(`${endpointKey(endpoint)}: ${asSluiceError(error).message}`));
  }
  if (failures.length > 0)
    throw new SluiceError('internal', `not removed: ${failures.join('; ')}`, 'see the log of netd');
}
