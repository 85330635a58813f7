/** The plane without eBPF, kept as it should be: rules in the kernel, and workers at the packet queues. */
import { availableParallelism } from 'node:os';
import { applyChains, chainsStand, removeChains } from '../../linux/iptables.ts';
import { findLink, removeLink } from '../../linux/links.ts';
import { NETLINK_ROUTE, openNetlink } from '../../linux/netlink.ts';
import { queueCounters } from '../../linux/nfqueue.ts';
import { type Nftables, openNftables } from '../../linux/nft.ts';
import { watchNftables } from '../../linux/nft-watch.ts';
import type { RingReader } from '../../linux/ring.ts';
import { type Cidr, cidrContains, type Ipv4 } from '../../model/addresses.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import type { HeldKeys } from '../../model/keys.ts';
import type { Log } from '../../model/log.ts';
import { indexOfMark, type Mark, type MarkMask, markOf, probeIndex } from '../../model/mark.ts';
import { type IfName, type NodeName, PROBE_TAG, type TenantName, type TenantTag } from '../../model/names.ts';
import type { CountingKernel } from '../accounts/collector.ts';
import type { DropCount } from '../drops.ts';
import { createLatest, type Latest } from '../latest.ts';
import type { NfqueuePlaneIds } from '../plane-ids.ts';
import { DROP_REASONS, meaningOfReason, numberOfReason } from '../reasons.ts';
import type { PlaneSettings } from '../settings.ts';
import { tableCountingKernel } from './accounts.ts';
import { type FlowFacts, flowFactsScript, noFlowScript } from './flow-rules.ts';
import { chainNames, counterOf, fenceTable, flowPort, flowTunnel } from './names.ts';
import { commonScript, removePortsScript } from './port-rules.ts';
import { listBlocks, listPorts } from './ports.ts';
import type { FenceFacts } from './tables.ts';
import { flowRulesOf, queueChains, type WireRules, wireScript } from './wire-rules.ts';
import { startWorkers, type WorkerCounters, type Workers } from './workers.ts';

export interface NfqueuePlaneOptions {
  readonly node: NodeName;
  readonly uplink: IfName;
  readonly etherTypes: readonly number[];
  readonly markMask: MarkMask;
  /** UDP port of the hosts' tunnels, which containers must not reach. */
  readonly vxlanPort: number;
  /** What userland sees between nodes: every packet, or the first ones of a flow. */
  readonly gear: Gear;
  readonly log: Log;
}

export type Gear = 'packets' | 'flows';

export interface NfqueuePlaneState {
  readonly ids: NfqueuePlaneIds;
  /** Whether the uplink is guarded too; before that the node has not heard from the server. */
  readonly guarded: boolean;
  /** What the workers have. */
  readonly keys: HeldKeys;
  /** Whether this node was shut out of the cluster: then it has no keys. */
  readonly fenced: boolean;
  /** Whether the cluster has internal IPv6 addresses. This plane carries none of it: ports drop it. */
  readonly dropsIpv6: boolean;
}

export interface NfqueueCounters extends WorkerCounters {
  /** Packets dropped by the kernel because userland was too slow. */
  readonly queueDrops: number;
  /** Packets that wait for a verdict now. */
  readonly waiting: number;
}

export interface NfqueuePlane {
  readonly state: Latest<NfqueuePlaneState>;
  /** The last attempt's failure, as long as it has not been made good. */
  problem(): SluiceError | undefined;
  /** @returns undefined for a tenant without a container here */
  markOf(tag: TenantTag): Mark | undefined;
  /** Whether an address is in the pool of containers. */
  isInternal(address: Ipv4): boolean;
  /** By whom packets for a block leave. */
  nextHopTo(block: Cidr): Ipv4 | undefined;
  /** Makes the plane what these settings want, in turn behind what is under way. */
  settle(settings: PlaneSettings | undefined): Promise<void>;
  /** Of tenants only what the queues have refused: ports count by reason alone. */
  drops(tenantOf: (tag: number) => TenantName | null): DropCount[];
  /** What containers send and receive. */
  readonly counting: CountingKernel;
  counters(): NfqueueCounters;
  /** Packets refused at the uplink, from now on; those refused at ports are only counted. */
  refusals(): RingReader;
  /** Ends the workers. The rules stay: what is for the uplink is dropped until somebody reads the queues again. */
  close(): Promise<void>;
}

const REPAIR_MS = 10_000;
const WORKERS_START_MS = 10_000;
/** Clear of the low numbers that people choose by hand. */
const FIRST_QUEUE = 24_064;
const MOST_QUEUES = 4;

/**
 * Opens the plane in the current network namespace.
 * @throws SluiceError when its rules cannot even be made once
 */
export async function openNfqueuePlane(
  options: NfqueuePlaneOptions,
  first: PlaneSettings | undefined,
): Promise<NfqueuePlane> {
  const { node, markMask, log } = options;
  const nft = openNftables();
  const table = fenceTable(node);
  const state = createLatest<NfqueuePlaneState>({
    ids: { node, nfqueue: { table, flows: false } },
    guarded: false,
    keys: { accepts: [], sends: null },
    fenced: false,
    dropsIpv6: false,
  });
  let settings = first;
  let problem: SluiceError | undefined;
  let workers: Workers | undefined;
  let told = '';
  /** Whether what another gear has left was taken away. */
  let forgotten = false;
  let marks: ReadonlyMap<TenantTag, Mark> = new Map();
  let last: Promise<void> = Promise.resolve();

  /** What the workers go by: the cluster's settings, and what netd has bound. */
  function tell(known: PlaneSettings): void {
    const facts = factsOf(known, nft, table, markMask);
    marks = new Map(facts.tenants.map(([index, tag]) => [tag, markOf(index, markMask)]));
    const { flows, ...wire } = wireRulesOf(options, known);
    const flowFacts: FlowFacts = { peers: peersOf(nft, table), tenants: facts.tenants };
    const text = JSON.stringify([facts, flowFacts]);
    if (workers !== undefined && text === told) return;
    if (workers === undefined) workers = startWorkers(queueNumbers(), facts, log);
    else workers.post(facts);
    if (flows !== undefined)
      nft.apply('tell which flows the kernel carries', flowFactsScript(flowRulesOf(wire, flows), flowFacts));
    told = text;
  }
  /** @returns whether there is IPv6 to drop */
  function tellIpv6({ internalPool6 }: PlaneSettings): boolean {
    const dropsIpv6 = internalPool6 !== undefined;
    if (dropsIpv6 && !state.get().dropsIpv6) log.error({ hint: CARRY_IPV6 }, DROPS_IPV6);
    return dropsIpv6;
  }
  async function reconcile(): Promise<void> {
    const rules = { table, markMask, internalPool: settings?.internalPool, flowPort: flowPortOf(options) };
    nft.apply('write the rules of ports', commonScript({ ...rules, ...options }));
    if (settings === undefined) return;
    const wire = wireRulesOf(options, settings);
    nft.apply('write the rules of the uplink', wireScript(wire));
    const chains = queueChains(wire);
    if (!(await chainsStand(chains))) await applyChains(chains);
    if (wire.flows === undefined && !forgotten) {
      if (nft.list(`map ip ${table} inward`) !== undefined)
        nft.apply('take the rules of flows away', noFlowScript(table));
      await removeChains([{ table: 'mangle', name: chainNames(node).flowArrivals }]);
      forgotten = true;
    }
    told = ''; // what the kernel has may have been changed by others
    tell(settings);
    if ((await workers?.reading(WORKERS_START_MS)) !== true) throw idle();
    const ids = { node, nfqueue: { table, flows: wire.flows !== undefined } };
    const held = { keys: heldKeys(settings), fenced: settings.fenced, dropsIpv6: tellIpv6(settings) };
    state.set({ ...state.get(), ids, guarded: true, ...held });
    if (settings.carrier !== 'option') throw foreignCarrier();
  }
  async function run(): Promise<void> {
    try {
      await reconcile();
      problem = undefined;
    } catch (error) {
      problem = asSluiceError(error);
      log.error({ reason: problem.message, hint: problem.hint }, 'the plane is not as it should be');
    }
  }
  function settle(next: PlaneSettings | undefined): Promise<void> {
    settings = next;
    last = last.then(run);
    return last;
  }

  await settle(first);
  if (problem !== undefined && !state.get().guarded) {
    await workers?.close();
    nft.close();
    throw problem;
  }
  const watch = watchNftables(() => {
    if (settings !== undefined && workers !== undefined) tell(settings);
  });
  const repair = setInterval(() => void settle(settings), REPAIR_MS);
  return {
    state,
    problem: () => problem,
    markOf: (tag) => marks.get(tag),
    isInternal: (address) => settings !== undefined && cidrContains(settings.internalPool, address),
    nextHopTo: (block) => listBlocks(nft, table).get(block)?.nextHop,
    settle,
    counting: tableCountingKernel(nft, table),
    drops: (tenantOf) => countDrops(nft, table, countersOf(workers), tenantOf),
    counters: () => countersOf(workers),
    refusals: () => lateReader(() => workers),
    async close(): Promise<void> {
      clearInterval(repair);
      watch.close();
      await last;
      await workers?.close();
      nft.close();
    },
  };
}

function heldKeys({ keys }: PlaneSettings): HeldKeys {
  return { accepts: keys.keys.map(({ epoch }) => epoch), sends: keys.keys.length > 0 ? keys.current : null };
}

/** The workers start only when the node has heard from the server. */
function lateReader(workers: () => Workers | undefined): RingReader {
  let reader: RingReader | undefined;
  return {
    consume(): Buffer[] {
      reader ??= workers()?.watch();
      return reader?.consume() ?? [];
    },
    [Symbol.dispose]: () => reader?.[Symbol.dispose](),
  };
}

function queueNumbers(): number[] {
  return Array.from({ length: queueCount() }, (_, index) => FIRST_QUEUE + index);
}

/** A power of two: flows are told apart by bits. */
function queueCount(): number {
  return Math.min(MOST_QUEUES, 2 ** Math.floor(Math.log2(availableParallelism())));
}

function flowPortOf({ gear, vxlanPort }: NfqueuePlaneOptions): number | undefined {
  return gear === 'flows' ? flowPort(vxlanPort) : undefined;
}

function wireRulesOf(options: NfqueuePlaneOptions, { internalPool, ownBlock }: PlaneSettings): WireRules {
  const { node, uplink, markMask } = options;
  const port = flowPortOf(options);
  return {
    ...{ node, uplink, internalPool, markMask, firstQueue: FIRST_QUEUE, queues: queueCount() },
    flows: port === undefined ? undefined : { port, ownBlock },
  };
}

/** Uplink addresses of the other nodes. */
function peersOf(nft: Nftables, table: string): Ipv4[] {
  return [...new Set([...listBlocks(nft, table).values()].map(({ node }) => node))];
}

function factsOf(
  { internalPool, ownBlock, keys }: PlaneSettings,
  nft: Nftables,
  table: string,
  markMask: MarkMask,
): FenceFacts {
  const tenants = new Map([...listPorts(nft, table).values()].map(({ mark, tag }) => [mark, tag]));
  return {
    ...{ internalPool, ownBlock, keys, markMask },
    tenants: [
      ...[...tenants].map(([mark, tag]) => [indexOfMark(mark, markMask), tag] as const),
      [probeIndex(markMask), PROBE_TAG],
    ],
    peerBlocks: [...listBlocks(nft, table).keys()],
  };
}

function idle(): SluiceError {
  return new SluiceError(
    'kernel_refused',
    'the workers at the packet queues do not read',
    'the log says why: another process may have the queues',
  );
}

const DROPS_IPV6 =
  'the cluster has internal IPv6 addresses, which the plane nfqueue does not carry: containers here have IPv4 only';
const CARRY_IPV6 = 'use the eBPF plane here (tagqueue.plane), or leave ipv6 out of the networks of this node';

/** Everything is dropped then, in both directions: what is sent has a tag, and what comes is UDP that nobody opens. */
function foreignCarrier(): SluiceError {
  return new SluiceError(
    'conflict',
    'the cluster sends through vxlan, which the plane nfqueue cannot carry: this node reaches no other one',
    'set the carrier `option` for the cluster, or use the eBPF plane here',
  );
}

/** The kernel's own counters and the workers', by the same reasons. */
function countDrops(
  nft: Nftables,
  table: string,
  { refused, refusedOfTenants }: WorkerCounters,
  tenantOf: (tag: number) => TenantName | null,
): DropCount[] {
  const ports = namedCounters(nft, 'bridge', table);
  const wire = namedCounters(nft, 'ip', table);
  return DROP_REASONS.map((reason) => ({
    reason,
    meaning: meaningOfReason(reason),
    tenants: tenantsOf(refusedOfTenants, numberOfReason(reason), tenantOf),
    packets:
      (ports.get(counterOf(reason)) ?? 0) +
      (wire.get(counterOf(reason)) ?? 0) +
      (refused[numberOfReason(reason)] ?? 0),
  }));
}

function tenantsOf(
  all: WorkerCounters['refusedOfTenants'],
  reason: number,
  tenantOf: (tag: number) => TenantName | null,
): DropCount['tenants'] {
  const byTag = Map.groupBy(
    all.filter((one) => one.reason === reason),
    ({ tag }) => tag,
  );
  return [...byTag].map(([tag, counts]) => ({
    ...{ tag, tenant: tenantOf(tag) },
    packets: counts.reduce((sum, { packets }) => sum + packets, 0),
  }));
}

function namedCounters(nft: Nftables, family: 'bridge' | 'ip', table: string): Map<string, number> {
  const listed = nft.list(`counters table ${family} ${table}`) ?? [];
  return new Map(
    listed.flatMap((object) => {
      const counter = object['counter'] as { name: string; packets: number } | undefined;
      return counter === undefined ? [] : [[counter.name, counter.packets] as const];
    }),
  );
}

function countersOf(workers: Workers | undefined): NfqueueCounters {
  const own = queueCounters().filter(({ queue }) => queueNumbers().includes(queue));
  const none = { refused: [], refusedOfTenants: [], tagged: 0, verified: 0, overruns: 0, restarts: 0 };
  return {
    ...(workers?.counters() ?? none),
    queueDrops: own.reduce((sum, { dropped, userDropped }) => sum + dropped + userDropped, 0),
    waiting: own.reduce((sum, { waiting }) => sum + waiting, 0),
  };
}

/**
 * Takes the plane's rules away. Call it when the node's containers are gone, or when another plane judges them.
 * Repeating it is no error.
 * @returns whether there were any
 */
export async function removeNfqueuePlane(node: NodeName): Promise<boolean> {
  const table = fenceTable(node);
  const nft = openNftables();
  try {
    const families = (['bridge', 'ip'] as const).filter(
      (family) => nft.list(`counters table ${family} ${table}`) !== undefined,
    );
    const { arrivals, departures, flowArrivals } = chainNames(node);
    // Nothing comes out of the tunnel unjudged, if it is gone first.
    await removeTunnel(node);
    // The ports' marks go first: while packets that bear them are under way, nobody lets them onto the wire.
    if (families.includes('bridge')) nft.apply('remove the fence of ports', removePortsScript(table));
    if (families.includes('ip')) nft.apply('remove the fence of the uplink', `delete table ip ${table}`);
    const chains = await removeChains([
      { table: 'raw', name: arrivals },
      { table: 'mangle', name: departures },
      { table: 'mangle', name: flowArrivals },
    ]);
    return families.length > 0 || chains;
  } finally {
    nft.close();
  }
}

async function removeTunnel(node: NodeName): Promise<void> {
  const route = openNetlink(NETLINK_ROUTE);
  try {
    const link = await findLink(route, flowTunnel(node));
    if (link?.kind === 'vxlan') await removeLink(route, link.index);
  } finally {
    route.close();
  }
}
