/** CHECK: compares the kernel with the record. */

import type { RelayedCall } from '../../cni/relay.ts';
import type { AttachRequest } from '../../cni/request.ts';
import { missingFromResult } from '../../cni/result.ts';
import { SluiceError } from '../../model/errors.ts';
import { openContainerNetns } from '../container-netns.ts';
import { type Netd, requireReady } from '../context.ts';
import { observeEndpoint, pictureNode } from '../endpoint-observe.ts';
import { planEndpoint } from '../endpoint-plan.ts';

/** @throws SluiceError `unknown_container`, or `state_drifted` naming every difference. */
export function check(netd: Netd, request: AttachRequest, call: RelayedCall): Promise<void> {
  return netd.locks(request.containerId, async () => {
    const { attach } = requireReady(netd);
    const endpoint = netd.registry.get(request.containerId, request.ifName);
    if (endpoint === undefined || endpoint.phase !== 'ready') {
      throw new SluiceError(
        'unknown_container',
        `container ${request.containerId} has no endpoint ${request.ifName} on this node`,
        'call ADD first',
      );
    }
    using netns = openContainerNetns(request, call);
    if (netns.inode !== endpoint.netnsInode) {
      throw new SluiceError(
        'state_drifted',
        `${request.netns} is not the namespace that was attached`,
        'remove the container and add it again',
      );
    }
    const picture = await pictureNode(netd.kernel, attach.facts);
    const observed = await observeEndpoint(netd.kernel, attach.facts, attach.plane, picture, endpoint, netns);
    const faults = planEndpoint(endpoint, attach.facts, observed).map(({ because }) => because);
    const missing =
      request.previous === null
        ? []
        : missingFromResult(endpoint, request.previous).map((what) => `prevResult lacks ${what}`);
    const unlimited = await netd.limits.faultsOf(endpoint);
    const differences = [...new Set([...faults, ...unlimited, ...missing])];
    if (differences.length > 0) {
      throw new SluiceError(
        'state_drifted',
        differences.join('; '),
        'restart netd to have the node repaired, or remove the container and add it again',
      );
    }
  });
}
