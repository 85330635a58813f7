/**
 * Brings kernel and records together: adopts what is right, repairs what is not, finishes or
 * undoes what was begun, and removes what nobody owns. Runs at start and then at intervals;
 * there is no other recovery.
 */
import { type Link, listLinks } from '../linux/links.ts';
import type { ClusterNode, ClusterView } from '../model/cluster.ts';
import { type Endpoint, endpointKey } from '../model/endpoint.ts';
import { asSluiceError, SluiceError } from '../model/errors.ts';
import type { IfName } from '../model/names.ts';
import type { Store } from '../store/contract.ts';
import { flowPort, flowTunnel } from '../tagqueue/nfqueue/names.ts';
import { TAG_BYTES } from '../tagqueue/options.ts';
import type { PortPlane } from '../tagqueue/port-binding.ts';
import { type BlockRouteAction, blockRoutes, planBlockRoutes } from './block-routes.ts';
import { openRecordedNetns } from './container-netns.ts';
import { type Netd, requireParts } from './context.ts';
import { settleEgress } from './egress-addresses.ts';
import { type AttachContext, applyEndpoint } from './endpoint-apply.ts';
import { type NodePicture, observeEndpoint, pictureNode } from './endpoint-observe.ts';
import { planEndpoint } from './endpoint-plan.ts';
import type { NodeFacts } from './facts.ts';
import { flowLimitsScript, flowsTable } from './flow-limits.ts';
import { type FlowTunnel, keepFlowTunnel } from './flow-tunnel.ts';
import { guardElements, guardElementsScript, settleGuardSets } from './guard-sets.ts';
import { keepHeadroom } from './headroom.ts';
import { tunnelName } from './names.ts';
import { applyNode } from './node-apply.ts';
import { observeNode } from './node-observe.ts';
import { type NodeAction, planNode } from './node-plan.ts';
import { rememberSettings } from './node-settings.ts';
import { rulesetScript, rulesOf } from './ruleset.ts';
import { keepShaper } from './shaper.ts';
import { keepTunnel } from './tunnel.ts';
import { removeEndpoint } from './verbs/del.ts';

/** Written by the first reconciliation of a store's life, before any endpoint can be made. */
const BORN = 'born';

export interface ReconcileReport {
  readonly adopted: number;
  readonly repaired: readonly string[];
  readonly removed: readonly string[];
  readonly failed: readonly string[];
}

/** What one reconciliation leaves to the next. */
export interface ReconcileMemory {
  /** The rules as they were listed right after we wrote them; undefined: this process has not yet. */
  rules: string | undefined;
  /** Which tenants the written rules guard, and how they leave. */
  guards: string;
}

/**
 * @param store  remembers what the node's kernel settings were
 * @throws SluiceError `store_failed` when the records of a node with containers are gone
 */
export async function reconcile(netd: Netd, store: Store, memory: ReconcileMemory): Promise<ReconcileReport> {
  const { view, attach } = requireParts(netd);
  const { kernel, facts, plane } = attach;
  const report = { adopted: 0, repaired: [] as string[], removed: [] as string[], failed: [] as string[] };

  // A node that was shut out has no authority any more: nothing goes there, and nothing from there is believed.
  const peers = [...view.nodes.values()].filter(({ node, fenced }) => node !== facts.node && !fenced);
  const tunnel = await keepFlowTunnel(
    kernel.route,
    flowTunnel(facts.node),
    plane.flows ? flowTunnelOf(netd, facts, view, peers) : undefined,
  );
  if (tunnel.changed) report.repaired.push('node: tunnel of flows');
  const ownedLinks = new Set<IfName>(
    netd.registry.all().flatMap(({ nics }) => nics.map(({ hostIf }) => hostIf)),
  );
  const observed = await observeNode(kernel, facts);
  const uplink = observed.links.find(({ name }) => name === facts.uplink);
  const blocks = blockRoutes(peers, observed.routes, uplink?.index);
  const actions = planNode({ facts, blocks, tunnel: tunnel.index, ownedLinks, observed });
  await refuseLostRecords(store, actions);
  await rememberSettings(store, actions);
  await applyNode(kernel, facts, actions);
  await keepTunnel(kernel.route, plane.programs, { name: tunnelName(facts.node), port: netd.vxlanPort }).then(
    (changed) => changed && report.repaired.push('node: tunnel'),
    // Packets pass without it, one by one: nothing for which a node should refuse containers.
    (error: unknown) => report.failed.push(`node: tunnel: ${asSluiceError(error).message}`),
  );
  await keepHeadroom(kernel.route, plane.programs, facts, netd.vxlanPort).then(
    (changed) => changed && report.repaired.push('node: headroom'),
    (error: unknown) => report.failed.push(`node: headroom: ${asSluiceError(error).message}`),
  );
  for (const side of ['internal', 'external'] as const)
    await keepShaper(kernel.route, plane, facts, side).then(
      (changed) => changed && report.repaired.push(`node: shaper of ${side} ports`),
      // What is not limited does not need it.
      (error: unknown) => report.failed.push(`node: shaper: ${asSluiceError(error).message}`),
    );
  applyBlockRoutes(plane, planBlockRoutes(blocks, plane.routes()));
  for (const action of actions) if (action.do !== 'route') report.repaired.push(`node: ${action.do}`);
  report.repaired.push(...(await settleEgress(kernel, facts, store)));
  const guards = JSON.stringify([plane.flows, netd.services(), ...facts.guards]);
  if (memory.rules === undefined || listRules(attach) !== memory.rules || guards !== memory.guards) {
    if (memory.rules !== undefined && guards === memory.guards) report.repaired.push('node: table');
    memory.guards = guards;
    writeTable(netd, attach);
    memory.rules = listRules(attach);
  }

  if (settleGuardSets(kernel, facts, netd.registry.all())) report.repaired.push('node: guard sets');

  const picture = await pictureNode(kernel, facts);
  for (const endpoint of netd.registry.all()) {
    await netd
      .locks(endpoint.containerId, () => settle(netd, attach, picture, endpoint, report))
      .catch((error: unknown) => {
        report.failed.push(`${endpointKey(endpoint)}: ${asSluiceError(error).message}`);
      });
  }
  shutStrayPorts(plane, await listLinks(kernel.route));
  plane.forgetTenants();
  return report;
}

/** Wide enough for a tag more than containers' packets have; the outer packet of a full-sized one goes in two pieces then. */
function flowTunnelOf(
  { vxlanPort }: Netd,
  { node, bridges }: NodeFacts,
  { nodes }: ClusterView,
  peers: readonly ClusterNode[],
): FlowTunnel | undefined {
  const self = nodes.get(node);
  return (
    self && {
      ...{ name: flowTunnel(node), port: flowPort(vxlanPort), local: self.uplinkAddress },
      mtu: bridges.internal.mtu + TAG_BYTES,
      peers: peers.map(({ uplinkAddress }) => uplinkAddress),
    }
  );
}

function applyBlockRoutes(plane: PortPlane, actions: readonly BlockRouteAction[]): void {
  for (const action of actions) {
    if (action.do === 'set-block') plane.setRoute(action.block, action.route);
    else plane.dropRoute(action.block);
  }
}

/** A binding outlives its link when the container's namespace went first; the kernel may give the index again. */
function shutStrayPorts(plane: PortPlane, links: readonly Link[]): void {
  const present = new Set(links.map(({ index }) => index));
  for (const ifindex of plane.list().keys()) if (!present.has(ifindex)) plane.unbind(ifindex);
}

/**
 * Host ends that nobody owns are removed, but not all of them at once: a node that has containers and
 * a store that has never seen one means that the records were lost, not the containers.
 */
async function refuseLostRecords(store: Store, actions: readonly NodeAction[]): Promise<void> {
  const born = await store.get(BORN);
  const strangers = actions.filter((action) => action.do === 'remove-link').length;
  if (born === undefined && strangers > 0) {
    throw new SluiceError(
      'store_failed',
      `this node has ${strangers} container links, but netd.sqlite knows of none: the records were lost`,
      'put the file back, or remove the containers and then everything else with: sluice down',
    );
  }
  if (born === undefined) await store.txn({ put: [{ key: BORN, value: true }] });
}

function listRules({ kernel, facts }: AttachContext): string {
  const tables = [facts.table, flowsTable(facts.table)];
  return tables.map((table) => rulesOf(kernel.nft.list(`table ip ${table}`) ?? [])).join('\n');
}

function writeTable(netd: Netd, { kernel, facts, plane }: AttachContext): void {
  const services = netd.services();
  const input = {
    ...{ table: facts.table, uplink: facts.uplink, internalPool: facts.internalPool, services },
    ...{ internalBridge: facts.bridges.internal.name, externalBridge: facts.bridges.external.name },
    flowTunnel: plane.flows ? flowTunnel(facts.node) : undefined,
    ...{ markMask: netd.markMask, guards: facts.guards, externalMac: facts.bridges.external.mac },
    ...{ internalBlock: facts.bridges.internal.block, externalBlock: facts.bridges.external.block },
  };
  kernel.nft.apply(
    'write the table',
    rulesetScript(
      input,
      netd.registry.all().filter(({ phase }) => phase === 'ready'),
    ) +
      guardElementsScript(facts.table, guardElements(facts, netd.registry.all())) +
      flowLimitsScript(
        facts.table,
        { external: input.externalBridge, tunnel: input.flowTunnel },
        netd.markMask,
        netd.flowLimits,
      ),
  );
}

async function settle(
  netd: Netd,
  attach: AttachContext,
  picture: NodePicture,
  recorded: Endpoint,
  report: { adopted: number; repaired: string[]; removed: string[] },
): Promise<void> {
  // It may have changed while we waited for the lock; what is new was not in the picture.
  const endpoint = netd.registry.get(recorded.containerId, recorded.ifName);
  if (endpoint !== recorded) return;
  if (endpoint.phase !== 'ready' || isDead(endpoint, picture)) {
    await removeEndpoint(netd, endpoint);
    report.removed.push(endpointKey(endpoint));
    return;
  }
  using netns = openRecordedNetns(endpoint);
  const observed = await observeEndpoint(attach.kernel, attach.facts, attach.plane, picture, endpoint, netns);
  const actions = planEndpoint(endpoint, attach.facts, observed);
  if (actions.length === 0) {
    report.adopted++;
    return;
  }
  await applyEndpoint(attach, endpoint, actions, netns);
  report.repaired.push(...new Set(actions.map(({ because }) => `${endpointKey(endpoint)}: ${because}`)));
}

/** A veth pair dies with the namespace of either end; without links and without namespace there is no container. */
function isDead(endpoint: Endpoint, picture: NodePicture): boolean {
  if (endpoint.nics.every(({ hostIf }) => picture.links.has(hostIf))) return false;
  using alive = openRecordedNetns(endpoint);
  return alive === undefined;
}
