/** ADD: makes an endpoint, whole or not at all. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { RelayedCall } from '../../cni/relay.ts';
import type { AttachRequest } from '../../cni/request.ts';
import { addResult, type CniResult } from '../../cni/result.ts';
import { decideTenant } from '../../cni/tenant.ts';
import { findLink } from '../../linux/links.ts';
import type { Netns } from '../../linux/netns.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { SluiceError } from '../../model/errors.ts';
import { openContainerNetns, openRecordedNetns } from '../container-netns.ts';
import { type Netd, requireReady } from '../context.ts';
import { designEndpoint } from '../design.ts';
import { type AttachContext, applyEndpoint } from '../endpoint-apply.ts';
import { detachEndpoint } from '../endpoint-detach.ts';
import { planFromNothing } from '../endpoint-plan.ts';
import type { Kernel } from '../kernel.ts';
import { refuseServicePorts } from '../service-ports.ts';

/** The kernel takes a namespace's interfaces down in a work queue, some grace periods after its last user has gone. */
const LONGEST_DEATH_MS = 1_000;
const DEATH_POLL_MS = 5;

/** @throws SluiceError when it could not be done; nothing is left of it then. */
export function add(netd: Netd, request: AttachRequest, call: RelayedCall): Promise<CniResult> {
  return netd.locks(request.containerId, async () => {
    const { view, attach } = requireReady(netd);
    const tenant = decideTenant({
      conf: request.config,
      args: request.args,
      namespaceMap: view.namespaces,
      tenants: view.tenants,
    });
    const own = view.nodes.get(attach.facts.node)?.uplinkAddress;
    refuseServicePorts(request.wishes.ports, netd.services(), own);
    refuseViews(netd, request);
    await makeWay(netd, attach, request);
    using netns = openContainerNetns(request, call);
    const { endpoint, reservation } = designEndpoint({
      ...{ request, tenant, facts: attach.facts, registry: netd.registry },
      ...{ netnsInode: netns.inode, now: netd.now() },
    });
    refuseUncarried(endpoint, attach);
    await netd.registry.admit(endpoint, reservation);
    netd.checkpoint('add:admitted');
    await build(netd, attach, endpoint, netns);
    return addResult(endpoint, request.cniVersion, request.previous);
  });
}

/** An address that nobody could reach is not given. Only the programs carry internal IPv6. */
function refuseUncarried({ nics }: Endpoint, { plane }: AttachContext): void {
  if (plane.programs !== undefined || nics.every(({ ipv6 }) => ipv6 === undefined)) return;
  throw new SluiceError(
    'unsupported_field',
    'ipv6: true is not supported on this node: its fence is the plane nfqueue, which carries no internal IPv6',
    'use the eBPF plane here (tagqueue.plane), or a network without ipv6',
  );
}

/** Figures that are not its own would be taken for its own. */
function refuseViews({ views }: Netd, { wishes }: AttachRequest): void {
  if (!wishes.views || views.enabled) return;
  throw new SluiceError(
    'unsupported_field',
    'views: true is not supported on this node: its configuration has views.lxcfs off',
    'set views.lxcfs: on in sluice.yaml and restart netd, or use a network without views',
  );
}

/** An endpoint of the same name is in the way, unless only a record of it is left. */
async function makeWay(
  netd: Netd,
  attach: AttachContext,
  { containerId, ifName }: AttachRequest,
): Promise<void> {
  const present = netd.registry.get(containerId, ifName);
  if (present === undefined) return;
  if (present.phase === 'ready' && (await isAttached(netd.kernel, present))) {
    throw new SluiceError(
      'already_exists',
      `container ${containerId} is attached as ${ifName} already`,
      'call DEL first',
    );
  }
  await undo(netd, attach, present);
}

/**
 * A veth pair dies with the container's namespace, so its host end tells whether the container lives. It dies a moment
 * after it, which is waited for where the namespace is not to be found any more.
 */
async function isAttached(kernel: Kernel, endpoint: Endpoint): Promise<boolean> {
  const deadline = performance.now() + LONGEST_DEATH_MS;
  while (await hasLinks(kernel, endpoint)) {
    using alive = openRecordedNetns(endpoint);
    if (alive !== undefined || performance.now() > deadline) return true;
    await sleep(DEATH_POLL_MS);
  }
  return false;
}

async function hasLinks({ route }: Kernel, { nics }: Endpoint): Promise<boolean> {
  const links = await Promise.all(nics.map(({ hostIf }) => findLink(route, hostIf)));
  return links.some((link) => link !== undefined);
}

async function build(netd: Netd, attach: AttachContext, endpoint: Endpoint, netns: Netns): Promise<void> {
  try {
    await applyEndpoint(attach, endpoint, planFromNothing(endpoint), netns);
    await netd.registry.advance(endpoint, 'ready');
    netd.limits.attached();
    netd.checkpoint('add:ready');
  } catch (error) {
    await undo(netd, attach, endpoint);
    throw error;
  }
}

/** What cannot be undone now stays on record, so that the next reconciliation tries again. */
async function undo(netd: Netd, attach: AttachContext, endpoint: Endpoint): Promise<void> {
  const failures = await detachEndpoint(attach, endpoint);
  if (failures.length === 0) {
    await netd.registry.release(endpoint);
    return netd.limits.release(endpoint);
  }
  netd.log.error(
    { container: endpoint.containerId, failures: failures.map(String) },
    'an endpoint could not be taken away whole',
  );
  await netd.registry.advance(endpoint, 'removing');
}
