/** Proves the fence against the other nodes, round after round, and answers their probes (docs/probes.md). */
import { setTimeout as sleep } from 'node:timers/promises';
import { listNeighbours } from '../../linux/addressing.ts';
import { findLink } from '../../linux/links.ts';
import { NETLINK_ROUTE, type Netlink, openNetlink } from '../../linux/netlink.ts';
import { type Netns, openNetns } from '../../linux/netns.ts';
import { type Channel, type Destination, type Guise, openChannel } from '../../linux/probe-sockets.ts';
import { type Cidr, cidrGateway, type Ipv4 } from '../../model/addresses.ts';
import { CARRIER_ROOM, type Carrier } from '../../model/carrier.ts';
import type { ClusterNode } from '../../model/cluster.ts';
import type { NodeView } from '../../model/cluster-changes.ts';
import type { Config } from '../../model/config.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import { decodeProbe, encodeProbe, FENCE_PROBE_PORT } from '../../model/fence-probe.ts';
import type { Log } from '../../model/log.ts';
import type { MarkMask } from '../../model/mark.ts';
import type { IfName, NodeName } from '../../model/names.ts';
import type { PlaneSettings } from '../settings.ts';
import { type PeerCarriers, tryCarriers } from './carriers.ts';
import { createEchoes } from './echoes.ts';
import { type Means, probePeer, sendBy, type Target } from './exchange.ts';
import { createFindings, type Findings } from './findings.ts';
import { createKeyMemory } from './keys.ts';
import { roundsForAll, takeTurn } from './rounds.ts';

/** What probes need of the plane. */
export interface ProbedPlane {
  /** Makes the probes' tenant known, who has no container. Repeating it is no error. */
  bearMark(): void;
  /** By whom packets for a block leave; undefined: nobody has told yet. */
  nextHopTo(block: Cidr): Ipv4 | undefined;
}

export interface ProberOptions {
  readonly node: NodeName;
  readonly uplink: IfName;
  readonly markMask: MarkMask;
  /** UDP port of the carrier `vxlan`. */
  readonly vxlanPort: number;
  readonly probes: Config['probes'];
  readonly plane: ProbedPlane;
  view(): NodeView | undefined;
  readonly signal: AbortSignal;
  readonly log: Log;
}

export interface Prober {
  readonly findings: Findings;
  /** Keys and block of this node, whenever they have changed. */
  learn(settings: PlaneSettings): void;
  /** @throws SluiceError `not_ready` while this node cannot send any probe: netd's part of it may still be missing */
  tryCarriers(): Promise<CarrierTrial>;
}

export interface CarrierTrial {
  /** What the cluster sends. */
  readonly used: Carrier;
  /** Of very many the first few. */
  readonly peers: readonly PeerCarriers[];
}

const MOST_TRIED = 8;
/** IPv4 and UDP. */
const HEADER_BYTES = 28;

/** While the node is being put up it is looked so often whether it can begin. */
const SOON_MS = 2_000;

/** Runs until the signal. With `everySeconds` 0 it only answers. */
export function startProber(options: ProberOptions): Prober {
  const { node, uplink, markMask, vxlanPort, probes, plane, signal, log } = options;
  const findings = createFindings(log);
  const keys = createKeyMemory();
  const echoes = createEchoes();
  const handles = new DisposableStack();
  const netns = handles.use(openNetns('/proc/thread-self/ns/net'));
  const route = openNetlink(NETLINK_ROUTE);
  handles.defer(() => route.close());
  const mouth = createMouth(netns, (data, from, atNs) => listen(data, from, atNs));
  handles.defer(() => mouth.close());
  let settings: PlaneSettings | undefined;

  const peers = (): readonly ClusterNode[] => whoCanProve([...(options.view()?.nodes.values() ?? [])], node);

  const answers = createAllowance(ANSWERS_A_SECOND);
  function listen(data: Buffer, from: Destination, atNs: bigint): void {
    const message = decodeProbe(data);
    const peer = peers().find(({ internalBlock }) => cidrGateway(internalBlock) === from.address);
    if (message === undefined || peer === undefined || from.port !== FENCE_PROBE_PORT) return;
    if (message.type === 'echo') {
      echoes.heard(message, from.address);
      return;
    }
    const holdMs =
      3 * roundsForAll(peers().length, probes.peersPerRound) * (probes.everySeconds || 30) * 1_000;
    if (message.kind !== 'valid') findings.letIn(peer.node, message.kind, holdMs);
    if (!answers()) return;
    const echo = encodeProbe({ ...message, type: 'echo', receivedAt: atNs }, data.length);
    if (message.answerBy === undefined) mouth.say(echo, from);
    else void answerBy(message.answerBy, peer, echo);
  }

  /** That the answer could not be sent, the asking node finds out by itself. */
  async function answerBy(carrier: Carrier, peer: ClusterNode, echo: Buffer): Promise<void> {
    const ready = await means().catch(() => undefined);
    if (ready !== undefined) await sendBy(carrier, ready, target(peer), echo).catch(() => false);
  }

  async function means(): Promise<Means | undefined> {
    const present = keys.at(performance.now());
    const link = await findLink(route, uplink);
    if (settings === undefined || present === undefined || link === undefined) return undefined;
    const guise = { mark: markMask, source: cidrGateway(settings.ownBlock) };
    const channel = await mouth.open(guise);
    if (channel === undefined) return undefined;
    plane.bearMark();
    return {
      ...{ netns, uplink, uplinkMac: link.mac, uplinkMtu: link.mtu, guise, channel, echoes, keys: present },
      ...{ host: settings.uplinkAddress, vxlanPort, carrier: settings.carrier },
    };
  }

  const target = (peer: ClusterNode): Target => ({
    gateway: cidrGateway(peer.internalBlock),
    host: peer.uplinkAddress,
    nextHopMac: () => nextHopMacOf(route, plane, uplink, peer),
  });

  async function round(last: string | undefined): Promise<string | undefined> {
    const all = peers();
    findings.keepOnly(all.map((peer) => peer.node));
    const ready = await means();
    if (ready === undefined || probes.everySeconds === 0) return last;
    const turn = takeTurn(all, last, probes.peersPerRound);
    await Promise.all(
      turn.peers.map(async (peer) => findings.note(peer.node, await probePeer(ready, target(peer)))),
    );
    return turn.last;
  }

  async function run(): Promise<void> {
    let last: string | undefined;
    while (!signal.aborted) {
      const begun = await round(last).catch((error: unknown) => {
        log.warn({ reason: asSluiceError(error).message }, 'a round of fence probes was cut short');
        return last;
      });
      const pauseMs = probes.everySeconds === 0 ? SOON_MS : probes.everySeconds * 1_000;
      const untilNextMs = begun === undefined ? Math.min(SOON_MS, pauseMs) : pauseMs;
      last = begun;
      await sleep(untilNextMs, undefined, { signal }).catch(() => undefined);
    }
    handles.dispose();
  }

  void run();
  return {
    findings,
    async tryCarriers(): Promise<CarrierTrial> {
      const ready = await means();
      if (ready === undefined) throw notReady();
      const fullBytes = ready.uplinkMtu - CARRIER_ROOM - HEADER_BYTES;
      const tried = peers()
        .slice(0, MOST_TRIED)
        .map(async (peer): Promise<PeerCarriers> => {
          return { peer: peer.node, carriers: await tryCarriers(ready, target(peer), fullBytes) };
        });
      return { used: ready.carrier, peers: await Promise.all(tried) };
    },
    learn(next): void {
      keys.learn(next.keys, performance.now());
      settings = next;
    },
  };
}

/** A node that was fenced off is to be reached by nobody, and reaches nobody itself. */
function whoCanProve(nodes: readonly ClusterNode[], self: NodeName): readonly ClusterNode[] {
  if (nodes.some(({ node, fenced }) => node === self && fenced)) return [];
  return nodes.filter(({ node, fenced }) => node !== self && !fenced);
}

async function nextHopMacOf(
  route: Netlink,
  plane: ProbedPlane,
  uplink: IfName,
  { internalBlock, uplinkAddress }: ClusterNode,
): ReturnType<Target['nextHopMac']> {
  const nextHop = plane.nextHopTo(internalBlock) ?? uplinkAddress;
  const dev = (await findLink(route, uplink))?.index;
  const neighbours = await listNeighbours(route);
  return neighbours.find((one) => one.dev === dev && one.address === nextHop)?.mac;
}

/** The socket, open as soon as netd has given the node its address, and again when that has changed. */
interface Mouth {
  open(guise: Guise): Promise<Channel | undefined>;
  say(data: Buffer, to: Destination): void;
  close(): void;
}

function createMouth(netns: Netns, hear: (data: Buffer, from: Destination, atNs: bigint) => void): Mouth {
  let open: { readonly source: Ipv4; readonly channel: Channel } | undefined;
  const close = (): void => {
    open?.channel.close();
    open = undefined;
  };
  return {
    close,
    say: (data, to) => open?.channel.send(data, to),
    async open(guise): Promise<Channel | undefined> {
      if (open?.source === guise.source) return open.channel;
      close();
      // The address is not there yet: netd makes it.
      const channel = await openChannel(netns, guise, FENCE_PROBE_PORT, hear).catch(() => undefined);
      if (channel !== undefined) open = { source: guise.source, channel };
      return channel;
    },
  };
}

/** Enough for a thousand peers at once; a replayed probe is answered no more often. */
const ANSWERS_A_SECOND = 2_000;

/** @returns whether another one may be given in this second */
function createAllowance(perSecond: number): () => boolean {
  let second = 0;
  let given = 0;
  return () => {
    const now = Math.floor(performance.now() / 1_000);
    if (now !== second) [second, given] = [now, 0];
    given += 1;
    return given <= perSecond;
  };
}

function notReady(): SluiceError {
  return new SluiceError('not_ready', 'this node cannot send probes yet', 'wait: sluice status --wait');
}
