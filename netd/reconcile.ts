/**
 * Brings kernel and records together: adopts what is right, repairs what is not, finishes or
 * undoes what was begun, and removes what nobody owns. Runs at start and then at intervals;
 * there is no other recovery.
 */
import { type Link, listLinks } from '../linux/links.ts';
import { type Endpoint, endpointKey } from '../model/endpoint.ts';
import { asSluiceError } from '../model/errors.ts';
import type { IfName } from '../model/names.ts';
import type { Store } from '../store/contract.ts';
import type { PortPlane } from '../tagqueue/port-binding.ts';
import { openRecordedNetns } from './container-netns.ts';
import { type Netd, requireParts } from './context.ts';
import { type AttachContext, applyEndpoint } from './endpoint-apply.ts';
import { type NodePicture, observeEndpoint, pictureNode } from './endpoint-observe.ts';
import { planEndpoint } from './endpoint-plan.ts';
import { applyNode } from './node-apply.ts';
import { observeNode } from './node-observe.ts';
import { planNode } from './node-plan.ts';
import { rememberSettings } from './node-settings.ts';
import { rulesetScript } from './ruleset.ts';
import { removeEndpoint } from './verbs/del.ts';

export interface ReconcileReport {
  readonly adopted: number;
  readonly repaired: readonly string[];
  readonly removed: readonly string[];
  readonly failed: readonly string[];
}

/**
 * @param store       remembers what the node's kernel settings were
 * @param freshTable  write the nftables table anew also when nothing seems to be wrong with it:
 *   at start, when it may be one of an older version
 */
export async function reconcile(netd: Netd, store: Store, freshTable: boolean): Promise<ReconcileReport> {
  const { view, attach } = requireParts(netd);
  const { kernel, facts, plane } = attach;
  const report = { adopted: 0, repaired: [] as string[], removed: [] as string[], failed: [] as string[] };

  const peers = [...view.nodes.values()].filter(({ node }) => node !== facts.node);
  const ownedLinks = new Set<IfName>(
    netd.registry.all().flatMap(({ nics }) => nics.map(({ hostIf }) => hostIf)),
  );
  const actions = planNode({ facts, peers, ownedLinks, observed: await observeNode(kernel, facts) });
  await rememberSettings(store, actions);
  await applyNode(kernel, facts, actions);
  for (const action of actions) if (action.do !== 'route') report.repaired.push(`node: ${action.do}`);
  if (freshTable || kernel.nft.list(`table ip ${facts.table}`) === undefined) writeTable(netd, attach);

  const picture = await pictureNode(kernel, facts);
  for (const endpoint of netd.registry.all()) {
    await netd
      .locks(endpoint.containerId, () => settle(netd, attach, picture, endpoint, report))
      .catch((error: unknown) => {
        report.failed.push(`${endpointKey(endpoint)}: ${asSluiceError(error).message}`);
      });
  }
  shutStrayPorts(plane, await listLinks(kernel.route));
  return report;
}

/** A binding outlives its link when the container's namespace went first; the kernel may give the index again. */
function shutStrayPorts(plane: PortPlane, links: readonly Link[]): void {
  const present = new Set(links.map(({ index }) => index));
  for (const ifindex of plane.list().keys()) if (!present.has(ifindex)) plane.unbind(ifindex);
}

function writeTable(netd: Netd, { kernel, facts }: AttachContext): void {
  const services = netd.services();
  const input = {
    ...{ table: facts.table, uplink: facts.uplink, internalPool: facts.internalPool, services },
    ...{ internalBridge: facts.bridges.internal.name, externalBridge: facts.bridges.external.name },
    ...{ internalBlock: facts.bridges.internal.block, externalBlock: facts.bridges.external.block },
  };
  kernel.nft.apply(
    'write the table',
    rulesetScript(
      input,
      netd.registry.all().filter(({ phase }) => phase === 'ready'),
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
