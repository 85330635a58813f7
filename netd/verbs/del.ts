/** DEL: takes an endpoint away. Succeeds for what is not there, and however often it is called. */
import type { DelRequest } from '../../cni/request.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { SluiceError } from '../../model/errors.ts';
import type { Netd } from '../context.ts';
import { detachEndpoint } from '../endpoint-detach.ts';

export function del(netd: Netd, request: DelRequest): Promise<void> {
  return netd.locks(request.containerId, async () => {
    const endpoint = netd.registry.get(request.containerId, request.ifName);
    if (endpoint !== undefined) await removeEndpoint(netd, endpoint);
  });
}

/**
 * The caller holds the container's lock.
 *
 * @throws SluiceError `try_again` before the node has its facts: nothing is known then of what to remove
 */
export async function removeEndpoint(netd: Netd, endpoint: Endpoint): Promise<void> {
  const facts = netd.facts();
  if (facts === undefined)
    throw new SluiceError(
      'try_again',
      'this node does not know its blocks yet',
      'start the server: systemctl start sluice-server, or sluice up',
    );
  const leaving = await netd.registry.advance(endpoint, 'removing');
  netd.checkpoint('del:recorded');
  const failures = await detachEndpoint(
    { kernel: netd.kernel, facts, plane: netd.plane(), checkpoint: netd.checkpoint },
    leaving,
  );
  if (failures.length > 0) {
    // The runtime is told that all is well, as the specification wants; the record stays, so
    // that its addresses stay held until a reconciliation has finished the work.
    netd.log.error(
      { container: endpoint.containerId, failures: failures.map(String) },
      'an endpoint could not be taken away whole',
    );
    return;
  }
  await netd.registry.release(leaving);
  netd.checkpoint('del:released');
  await netd.limits.release(leaving);
}
