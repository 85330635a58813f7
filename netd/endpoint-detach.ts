/** Takes endpoints away. Every step may be repeated. */
import { removeNeighbour } from '../linux/addressing.ts';
import { findLink } from '../linux/links.ts';
import { type Endpoint, nicOf } from '../model/endpoint.ts';
import type { PortPlane } from '../tagqueue/port-binding.ts';
import type { AttachContext } from './endpoint-apply.ts';
import type { NodeFacts } from './facts.ts';
import { unguardScript } from './guard-rules.ts';
import type { Kernel } from './kernel.ts';
import { unpublishScript } from './ruleset.ts';

/**
 * Takes an endpoint away, in whatever state it is. Goes on past failures, so that one refusal
 * does not keep the rest.
 *
 * @returns what failed; empty when nothing of the endpoint is left
 */
export async function detachEndpoint(
  context: Pick<AttachContext, 'kernel' | 'facts' | 'checkpoint'> & { readonly plane: PortPlane | undefined },
  endpoint: Endpoint,
): Promise<unknown[]> {
  const { kernel, facts, plane, checkpoint } = context;
  const failures: unknown[] = [];
  const attempt = async (point: string, step: () => Promise<void>): Promise<void> => {
    await step().catch((error: unknown) => failures.push(error));
    checkpoint(point);
  };
  const indexes = await hostEnds(kernel, endpoint);

  await attempt('del:unpublished', () => unpublish(kernel, facts, endpoint));
  await attempt('del:unbound', async () => {
    if (plane) for (const index of portsOf(plane, endpoint, indexes)) plane.unbind(index);
  });
  await attempt('del:unlinked', () => kernel.reaper.reap(endpoint.group, indexes));
  await attempt('del:unguarded', () => unguard(kernel, facts, endpoint));
  if (plane?.flows) await attempt('del:untracked', () => untrack(kernel, endpoint));
  await attempt('del:forgotten', async () => {
    for (const nic of endpoint.nics) {
      const bridge = await findLink(kernel.route, facts.bridges[nic.side].name);
      if (bridge) await removeNeighbour(kernel.route, bridge.index, nic.address);
    }
  });
  return failures;
}

/** After the links are gone: what was let out must not be open for the next one to get the address. */
async function unguard({ nft, conntrack }: Kernel, facts: NodeFacts, endpoint: Endpoint): Promise<void> {
  const address = nicOf(endpoint, 'external')?.address;
  if (!facts.guards.has(endpoint.tenant) || address === undefined) return;
  if (nft.list(`chain ip ${facts.table} unmark`) !== undefined)
    nft.apply('guard a container no more', unguardScript(facts, endpoint));
  await conntrack.forgetSentBy(address);
}

/** What the kernel carries by a connection's mark alone must not outlive the container. */
async function untrack({ conntrack }: Kernel, endpoint: Endpoint): Promise<void> {
  const address = nicOf(endpoint, 'internal')?.address;
  if (address === undefined) return;
  await conntrack.forgetSentBy(address);
  await conntrack.forgetAnsweredBy(address);
}

async function hostEnds({ route }: Kernel, endpoint: Endpoint): Promise<number[]> {
  const links = await Promise.all(endpoint.nics.map((nic) => findLink(route, nic.hostIf)));
  return links.flatMap((link) => (link === undefined ? [] : [link.index]));
}

/** A host end that went with the container's namespace has left its binding: it is found by its address, held until now. */
function portsOf(plane: PortPlane, { nics }: Endpoint, hostEnds: readonly number[]): readonly number[] {
  if (hostEnds.length === nics.length) return hostEnds;
  const own = new Set(nics.map(({ address }) => address));
  const left = [...plane.list()].filter(([, { address }]) => own.has(address)).map(([index]) => index);
  return [...hostEnds, ...left];
}

async function unpublish({ nft, conntrack }: Kernel, facts: NodeFacts, endpoint: Endpoint): Promise<void> {
  const address = nicOf(endpoint, 'external')?.address;
  if (endpoint.ports.length === 0 || address === undefined) return;
  // Without the table there is nothing to close, and a reconciliation will make it anew.
  if (nft.list(`chain ip ${facts.table} publish`) !== undefined)
    nft.apply('close ports', unpublishScript(facts.table, endpoint));
  // Clients of a closed port would otherwise go on reaching whoever gets the address next.
  await conntrack.forgetAnsweredBy(address);
}
