/** CHECK: compares the kernel with the record. */
import type { AttachRequest } from '../../cni/request.ts';
import { missingFromResult } from '../../cni/result.ts';
import { SluiceError } from '../../model/errors.ts';
import { type Netd, requireReady } from '../context.ts';
import { observeEndpoint, pictureNode } from '../endpoint-observe.ts';
import { planEndpoint } from '../endpoint-plan.ts';

/** @throws SluiceError `unknown_container`, or `state_drifted` naming every difference. */
export function check(netd: Netd, request: AttachRequest): Promise<void> {
  return netd.locks(request.containerId, async () => {
    const { attach } = requireReady(netd);
    const endpoint = netd.registry.get(request.containerId, request.ifName);
    if (endpoint === undefined || endpoint.phase !== 'ready') {
      throw new SluiceError('unknown_container', `container ${request.containerId} has no endpoint ${request.ifName} on this node`, 'call ADD first');
    }
    const picture = await pictureNode(netd.kernel, attach.facts);
    const observed = await observeEndpoint(netd.kernel, attach.facts, attach.plane, picture, endpoint);
    const faults = planEndpoint(endpoint, attach.facts, observed).map(({ because }) => because);
    const missing = request.previous === null ? [] : missingFromResult(endpoint, request.previous).map((what) => `prevResult lacks ${what}`);
    const differences = [...new Set([...faults, ...missing])];
    if (differences.length > 0) {
      throw new SluiceError('state_drifted', differences.join('; '), 'restart netd to have the node repaired, or remove the container and add it again');
    }
  });
}
