/** Carries out endpoint actions. Every action may be repeated. */
import { addAddress, addContainerRoute, listAddresses, setNeighbour } from '../linux/addressing.ts';
import { addAddress6, addContainerRoute6, setNeighbour6 } from '../linux/addressing6.ts';
import type { BpfProgram } from '../linux/bpf.ts';
import { addForwardingEntry } from '../linux/forwarding.ts';
import {
  createVeth,
  ignoring,
  lockBridgePort,
  setLinkMac,
  setLinkMaster,
  setLinkMtu,
  setLinkUp,
} from '../linux/links.ts';
import { NETLINK_ROUTE, type Netlink, openNetlink } from '../linux/netlink.ts';
import { inNetns, type Netns } from '../linux/netns.ts';
import { readSysctl, writeSysctl } from '../linux/sysctl.ts';
import { addClsact, attachProgram, type Direction } from '../linux/tc.ts';
import { bytesToMac, type Ipv4, ipv4ToBytes, type Mac } from '../model/addresses.ts';
import type { Endpoint, Nic } from '../model/endpoint.ts';
import { SluiceError } from '../model/errors.ts';
import type { IfName } from '../model/names.ts';
import type { PortPlane } from '../tagqueue/port-binding.ts';
import { bindingOf, type EndpointAction, STAGES } from './endpoint-plan.ts';
import type { NodeFacts } from './facts.ts';
import { guardScript } from './guard-rules.ts';
import { createLinkFinder, type Kernel, type LinkFinder } from './kernel.ts';
import { publishScript } from './ruleset.ts';

const LOOPBACK = 'lo' as IfName;

/** Where a test may kill the process: 'add:fence' is right after the stage 'fence' of ADD. */
export type Checkpoint = (point: string) => void;

/** Who holds containers to their rates. */
export interface PortLimits {
  /** Holds the ports of an attachment that is being made, before they come up. @throws SluiceError `kernel_refused` */
  admit(endpoint: Endpoint): Promise<void>;
}

export interface AttachContext {
  readonly kernel: Kernel;
  readonly facts: NodeFacts;
  readonly plane: PortPlane;
  readonly limits: PortLimits;
  readonly checkpoint: Checkpoint;
}

/** One endpoint being worked at. */
interface Work extends AttachContext {
  readonly endpoint: Endpoint;
  readonly hostLink: LinkFinder;
  readonly container: ContainerSide | undefined;
}

/** The inside of the container's network namespace. */
interface ContainerSide {
  readonly netns: Netns;
  readonly route: Netlink;
  readonly link: LinkFinder;
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
  const container = netns && enter(netns);
  const work: Work = { ...context, endpoint, hostLink: createLinkFinder(context.kernel.route), container };
  try {
    for (const stage of STAGES) {
      const now = actions.filter((action) => action.do === stage);
      if (now.length === 0) continue;
      await settleAll(now.map((action) => applyOne(work, action)));
      context.checkpoint(`add:${stage}`);
    }
  } finally {
    container?.route.close();
  }
}

function enter(netns: Netns): ContainerSide {
  const route = inNetns(netns, () => openNetlink(NETLINK_ROUTE));
  return { netns, route, link: createLinkFinder(route) };
}

/**
 * Waits for all, then throws the first failure: what runs on after an undo has begun would leak.
 * Requests on one netlink socket are carried out in the order in which they were sent, so steps
 * that build on each other may be under way together.
 */
async function settleAll(running: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(running);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

async function applyOne(work: Work, action: EndpointAction): Promise<void> {
  switch (action.do) {
    case 'create':
      return create(work, action.nic);
    case 'fence':
      return fence(work, action.nic);
    case 'bind':
      return bind(work, action.nic);
    case 'wire':
      return wire(work, action.nic);
    case 'configure':
      return configure(work, action.nic);
    case 'limit':
      return work.limits.admit(work.endpoint);
    case 'raise':
      return setLinkUp(work.kernel.route, (await work.hostLink(action.nic.hostIf)).index);
    case 'publish':
      return publish(work);
  }
}

function containerOf({ container }: Work): ContainerSide {
  if (container !== undefined) return container;
  throw new SluiceError(
    'netns_unusable',
    "the container's network namespace is gone",
    'remove the container',
  );
}

/** Another prefix than the container's own MAC: the two ends of a pair must differ. */
function hostEndMac(address: Ipv4): Mac {
  return bytesToMac(Uint8Array.from([0x02, 0x5d, ...ipv4ToBytes(address)]));
}

async function create(work: Work, nic: Nic): Promise<void> {
  const bridge = await work.hostLink(work.facts.bridges[nic.side].name);
  await createVeth(work.kernel.route, {
    hostIf: nic.hostIf,
    hostMac: hostEndMac(nic.address),
    mtu: nic.mtu,
    master: bridge.index,
    group: work.endpoint.group,
    peerIf: nic.ifName,
    peerMac: nic.mac,
    peerNetnsFd: containerOf(work).netns.fd,
  });
  // What was let out for whoever had the address before is no way out for this one.
  if (nic.side === 'external' && work.facts.guards.has(work.endpoint.tenant))
    await work.kernel.conntrack.forgetSentBy(nic.address);
}

/** Both directions are guarded while the link is still down; an unbound port lets nothing through. */
async function fence({ kernel: { route }, plane: { programs }, hostLink }: Work, nic: Nic): Promise<void> {
  if (programs === undefined) return;
  const { index: ifindex } = await hostLink(nic.hostIf);
  const attach = (direction: Direction, { fd }: BpfProgram, name: string): Promise<void> =>
    attachProgram(route, { ifindex, direction, programFd: fd, name });
  await settleAll([
    addClsact(route, ifindex),
    attach('ingress', programs.port_in, 'sluice_port_in'),
    attach('egress', programs.port_out, 'sluice_port_out'),
  ]);
}

async function bind({ plane, endpoint, facts, hostLink }: Work, nic: Nic): Promise<void> {
  const { index } = await hostLink(nic.hostIf);
  const name = { container: endpoint.containerId, ifName: nic.ifName };
  plane.bind(bindingOf(endpoint, nic, facts, index), name);
}

async function wire({ kernel, facts, endpoint, hostLink }: Work, nic: Nic): Promise<void> {
  const { route } = kernel;
  const link = await hostLink(nic.hostIf);
  const bridge = await hostLink(facts.bridges[nic.side].name);
  if (link.master !== bridge.index) await setLinkMaster(route, link.index, bridge.index);
  if (link.mtu !== nic.mtu) await setLinkMtu(route, link.index, nic.mtu);
  await settleAll([
    lockBridgePort(route, link.index, nic.side === 'external' && endpoint.ports.length > 0),
    addForwardingEntry(route, link.index, nic.mac),
    setNeighbour(route, bridge.index, nic.address, nic.mac),
  ]);
  // Before the link comes up: there is no flow that nobody has judged.
  if (nic.side === 'external' && facts.guards.has(endpoint.tenant))
    kernel.nft.apply('guard a container', guardScript(facts, endpoint));
}

async function configure(work: Work, nic: Nic): Promise<void> {
  const { netns, route, link: find } = containerOf(work);
  const [link, loopback] = await Promise.all([find(nic.ifName), find(LOOPBACK)]);
  inNetns(netns, () => closeSideDoors(nic.ifName, work.endpoint.ipv6));
  if (link.mac !== nic.mac) await setLinkMac(route, link.index, nic.mac);
  await settleAll([
    addAddress(route, link.index, nic.address, nic.block),
    ...[link, loopback].filter(({ up }) => !up).map(({ index }) => setLinkUp(route, index)),
    setNeighbour(route, link.index, nic.gateway, work.facts.bridges[nic.side].mac),
    ...nic.routes.map((to) =>
      ignoring('EEXIST', addContainerRoute(route, { to, via: nic.gateway, dev: link.index })),
    ),
    ...(nic.ipv6 === undefined
      ? []
      : configure6(route, link.index, nic.ipv6, work.facts.bridges.internal.mac)),
  ]);
}

/** An address that nobody is on-link with: everything goes to the gateway's MAC, and the port's program takes it on. */
function configure6(
  route: Netlink,
  dev: number,
  { address, gateway, pool }: NonNullable<Nic['ipv6']>,
  gatewayMac: Mac,
): Promise<void>[] {
  return [
    addAddress6(route, dev, address),
    setNeighbour6(route, dev, gateway, gatewayMac),
    addContainerRoute6(route, { to: pool, via: gateway, dev }),
  ];
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

async function publish({ kernel, facts, endpoint }: Work): Promise<void> {
  kernel.nft.apply('publish ports', publishScript(facts.table, endpoint));
  await forgetUntranslated(kernel, endpoint);
}

/**
 * Flows that began before the port was published go on untranslated, and UDP ones never end by
 * themselves while the client keeps sending: forget them.
 */
async function forgetUntranslated({ route, conntrack }: Kernel, { ports }: Endpoint): Promise<void> {
  const udp = ports.filter(({ protocol }) => protocol === 'udp');
  if (udp.length === 0) return;
  const own = (await listAddresses(route)).map(({ address }) => address);
  for (const { hostPort, hostIp } of udp) {
    for (const address of hostIp === null ? own : [hostIp])
      await conntrack.forgetSentTo(address, 'udp', hostPort);
  }
}
