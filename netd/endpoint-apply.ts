/** Carries out endpoint actions, and takes endpoints away. Every action may be repeated. */
import {
  addAddress,
  addContainerRoute,
  addForwardingEntry,
  listAddresses,
  removeNeighbour,
  setNeighbour,
} from '../linux/addressing.ts';
import { flowsAnsweredBy, flowsToPort, forgetFlow } from '../linux/conntrack.ts';
import {
  createVeth,
  findLink,
  ignoring,
  type Link,
  lockBridgePort,
  setLinkMaster,
  setLinkMtu,
  setLinkUp,
} from '../linux/links.ts';
import { NETLINK_ROUTE, type Netlink, openNetlink } from '../linux/netlink.ts';
import { inNetns, type Netns } from '../linux/netns.ts';
import { readSysctl, writeSysctl } from '../linux/sysctl.ts';
import { addClsact, attachProgram } from '../linux/tc.ts';
import { bytesToMac, type Ipv4, ipv4ToBytes, type Mac } from '../model/addresses.ts';
import { type Endpoint, type Nic, nicOf } from '../model/endpoint.ts';
import { SluiceError } from '../model/errors.ts';
import type { IfName } from '../model/names.ts';
import type { PortPlane } from '../tagqueue/port-binding.ts';
import { bindingOf, type EndpointAction, STAGES } from './endpoint-plan.ts';
import type { NodeFacts } from './facts.ts';
import { type Kernel, requireLink } from './kernel.ts';
import { publishScript, unpublishScript } from './ruleset.ts';

/** Where a test may kill the process: 'add:fence' is right after the stage 'fence' of ADD. */
export type Checkpoint = (point: string) => void;

export interface AttachContext {
  readonly kernel: Kernel;
  readonly facts: NodeFacts;
  readonly plane: PortPlane;
  readonly checkpoint: Checkpoint;
}

/**
 * Carries out a plan stage by stage; within a stage both interfaces at once.
 *
 * @param netns  the container's namespace; may be missing when no action needs it
 * @throws SluiceError at the first refusal: the caller undoes with `detachEndpoint`
 */
export async function applyEndpoint(
  context: AttachContext,
  endpoint: Endpoint,
  actions: readonly EndpointAction[],
  netns: Netns | undefined,
): Promise<void> {
  const inside = netns && inNetns(netns, () => openNetlink(NETLINK_ROUTE));
  try {
    for (const stage of STAGES) {
      const now = actions.filter((action) => action.do === stage);
      if (now.length === 0) continue;
      await settleAll(now.map((action) => applyOne(context, endpoint, action, netns, inside)));
      context.checkpoint(`add:${stage}`);
    }
  } finally {
    inside?.close();
  }
}

/** Waits for all, then throws the first failure: what runs on after an undo has begun would leak. */
async function settleAll(running: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(running);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

async function applyOne(
  context: AttachContext,
  endpoint: Endpoint,
  action: EndpointAction,
  netns: Netns | undefined,
  inside: Netlink | undefined,
): Promise<void> {
  const { kernel, facts, plane } = context;
  switch (action.do) {
    case 'create':
      return create(kernel, facts, endpoint, action.nic, required(netns));
    case 'fence':
      return fence(kernel, plane, action.nic);
    case 'bind':
      return plane.bind(
        (await requireLink(kernel.route, action.nic.hostIf)).index,
        bindingOf(endpoint, action.nic, facts),
      );
    case 'wire':
      return wire(kernel, facts, endpoint, action.nic);
    case 'configure':
      return configure(facts, endpoint, action.nic, required(netns), required(inside));
    case 'raise':
      return setLinkUp(kernel.route, (await requireLink(kernel.route, action.nic.hostIf)).index);
    case 'publish':
      return publish(kernel, facts, endpoint);
  }
}

function required<T>(value: T | undefined): T {
  if (value === undefined)
    throw new SluiceError(
      'netns_unusable',
      "the container's network namespace is gone",
      'remove the container',
    );
  return value;
}

/** Another prefix than the container's own MAC: the two ends of a pair must differ. */
function hostEndMac(address: Ipv4): Mac {
  return bytesToMac(Uint8Array.from([0x02, 0x5d, ...ipv4ToBytes(address)]));
}

async function create(
  { route }: Kernel,
  facts: NodeFacts,
  endpoint: Endpoint,
  nic: Nic,
  netns: Netns,
): Promise<void> {
  const bridge = await requireLink(route, facts.bridges[nic.side].name);
  await createVeth(route, {
    hostIf: nic.hostIf,
    hostMac: hostEndMac(nic.address),
    mtu: nic.mtu,
    master: bridge.index,
    group: endpoint.group,
    peerIf: nic.ifName,
    peerMac: nic.mac,
    peerNetnsFd: netns.fd,
  });
}

/** Both directions are guarded while the link is still down; an unbound port lets nothing through. */
async function fence({ route }: Kernel, plane: PortPlane, nic: Nic): Promise<void> {
  const { index } = await requireLink(route, nic.hostIf);
  await addClsact(route, index);
  await attachProgram(route, {
    ifindex: index,
    direction: 'ingress',
    programFd: plane.programs.port_in.fd,
    name: 'sluice_port_in',
  });
  await attachProgram(route, {
    ifindex: index,
    direction: 'egress',
    programFd: plane.programs.port_out.fd,
    name: 'sluice_port_out',
  });
}

async function wire({ route }: Kernel, facts: NodeFacts, endpoint: Endpoint, nic: Nic): Promise<void> {
  const link = await requireLink(route, nic.hostIf);
  const bridge = await requireLink(route, facts.bridges[nic.side].name);
  if (link.master !== bridge.index) await setLinkMaster(route, link.index, bridge.index);
  if (link.mtu !== nic.mtu) await setLinkMtu(route, link.index, nic.mtu);
  await lockBridgePort(route, link.index, nic.side === 'external' && endpoint.ports.length > 0);
  await addForwardingEntry(route, link.index, nic.mac);
  await setNeighbour(route, bridge.index, nic.address, nic.mac);
}

async function configure(
  facts: NodeFacts,
  endpoint: Endpoint,
  nic: Nic,
  netns: Netns,
  inside: Netlink,
): Promise<void> {
  const link = await requireLink(inside, nic.ifName);
  inNetns(netns, () => closeSideDoors(nic.ifName, endpoint.ipv6));
  await addAddress(inside, link.index, nic.address, nic.block);
  await raiseInside(inside, link);
  await setNeighbour(inside, link.index, nic.gateway, facts.bridges[nic.side].mac);
  for (const to of nic.routes)
    await ignoring('EEXIST', addContainerRoute(inside, { to, via: nic.gateway, dev: link.index }));
}

/** Runs inside the container's namespace, before the interface comes up. */
function closeSideDoors(ifName: IfName, ipv6: boolean): void {
  writeSysctl(`net/ipv4/conf/${ifName}/accept_redirects`, '0');
  writeSysctl(`net/ipv4/conf/${ifName}/send_redirects`, '0');
  // A kernel without IPv6 has no such settings, and nothing to close.
  if (readSysctl(`net/ipv6/conf/${ifName}/accept_ra`) === undefined) return;
  writeSysctl(`net/ipv6/conf/${ifName}/accept_ra`, '0');
  writeSysctl(`net/ipv6/conf/${ifName}/accept_redirects`, '0');
  writeSysctl(`net/ipv6/conf/${ifName}/disable_ipv6`, ipv6 ? '0' : '1');
}

async function raiseInside(inside: Netlink, link: Link): Promise<void> {
  const loopback = await findLink(inside, 'lo' as IfName);
  if (loopback && !loopback.up) await setLinkUp(inside, loopback.index);
  await setLinkUp(inside, link.index);
}

async function publish(kernel: Kernel, facts: NodeFacts, endpoint: Endpoint): Promise<void> {
  kernel.nft.apply('publish ports', publishScript(facts.table, endpoint));
  await forgetUntranslated(kernel, endpoint);
}

/**
 * Flows that began before the port was published go on untranslated, and UDP ones never end by
 * themselves while the client keeps sending: forget them.
 */
async function forgetUntranslated({ route, netfilter }: Kernel, endpoint: Endpoint): Promise<void> {
  const udp = endpoint.ports.filter(({ protocol }) => protocol === 'udp');
  if (udp.length === 0) return;
  const own = new Set((await listAddresses(route)).map(({ address }) => address));
  for (const { hostPort, protocol } of udp) {
    const flows = await flowsToPort(netfilter, protocol, hostPort);
    for (const flow of flows)
      if (own.has(flow.destination) && flow.responder === flow.destination) await forgetFlow(netfilter, flow);
  }
}

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
    for (const index of indexes) plane?.unbind(index);
  });
  await attempt('del:unlinked', () => kernel.reaper.reap(endpoint.group, indexes));
  await attempt('del:forgotten', async () => {
    for (const nic of endpoint.nics) {
      const bridge = await findLink(kernel.route, facts.bridges[nic.side].name);
      if (bridge) await removeNeighbour(kernel.route, bridge.index, nic.address);
    }
  });
  return failures;
}

async function hostEnds({ route }: Kernel, endpoint: Endpoint): Promise<number[]> {
  const links = await Promise.all(endpoint.nics.map((nic) => findLink(route, nic.hostIf)));
  return links.flatMap((link) => (link === undefined ? [] : [link.index]));
}

async function unpublish({ nft, netfilter }: Kernel, facts: NodeFacts, endpoint: Endpoint): Promise<void> {
  const address = nicOf(endpoint, 'external')?.address;
  if (endpoint.ports.length === 0 || address === undefined) return;
  // Without the table there is nothing to close, and a reconciliation will make it anew.
  if (nft.list(`table ip ${facts.table}`) !== undefined)
    nft.apply('close ports', unpublishScript(facts.table, endpoint));
  for (const { protocol, containerPort } of endpoint.ports) {
    for (const flow of await flowsAnsweredBy(netfilter, protocol, address, containerPort))
      await forgetFlow(netfilter, flow);
  }
}
