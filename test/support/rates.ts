/** Limits the containers of a lab's node as netd would, and measures what comes through. */
import type * as z from 'zod';
import { thisCheckout } from '../../lab/checkout.ts';
import type { LabContainer } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { UPLINK } from '../../lab/topology.ts';
import { localClient } from '../../linux/api-client.ts';
import { NETLINK_ROUTE, openNetlink } from '../../linux/netlink.ts';
import { inNetns, openNetns } from '../../linux/netns.ts';
import { type Daemon, runOk, startDaemon } from '../../linux/process.ts';
import type { Side } from '../../model/endpoint.ts';
import { DEFAULT_MARK_MASK } from '../../model/mark.ts';
import type { ContainerId, IfName, TenantName } from '../../model/names.ts';
import type { NodeFacts } from '../../netd/facts.ts';
import { requireLink } from '../../netd/kernel.ts';
import { bridgeName, hostEndName } from '../../netd/names.ts';
import { rateSiteOf } from '../../netd/rate-site.ts';
import type { RateKeeper, TenantRates } from '../../qos/contract.ts';
import { openRateKeeper } from '../../qos/rates/keeper.ts';
import { rateOfFrames } from '../../qos/rates/meaning.ts';
import type { KnownPort } from '../../qos/rates/site.ts';
import { tagqueueSocketOf } from '../../tagqueue/main.ts';
import { openNfqueuePorts } from '../../tagqueue/nfqueue/ports.ts';
import { AnyPlaneIds } from '../../tagqueue/plane-ids.ts';
import { openPortPlane, type PortPlane } from '../../tagqueue/port-binding.ts';
import { until } from '../faults/crashes.ts';

export const IF_NAME = { external: 'eth0', internal: 'eth1' } as const satisfies Record<Side, string>;

/** Rates of one container, bits a second. */
export interface Wish {
  readonly container: LabContainer;
  readonly side: Side;
  readonly in?: number | null;
  readonly out?: number | null;
}

export interface NodeShaper extends AsyncDisposable {
  readonly keeper: RateKeeper;
  readonly plane: PortPlane;
  hostIf(container: LabContainer, side: Side): IfName;
  /** Everything that is wanted from now on. */
  want(wishes: readonly Wish[], tenants?: readonly TenantRates[]): Promise<void>;
}

/**
 * From now on the node has no netd: it would put back what it knows of limits. Everything else of it stays, and
 * tagqueue runs on.
 * @param owners  the node's containers, by tenant
 */
export async function shaperOf(
  node: LabNode,
  owners: ReadonlyMap<LabContainer, string>,
): Promise<NodeShaper> {
  await node.stop();
  const tagqueue = [thisCheckout().sluice, 'tagqueue', '--node', node.name, '--uplink', UPLINK] as const;
  const daemon = await startDaemon(['nsenter', `--net=${node.netns}`, '--', ...tagqueue], {
    ...{ env: node.env, logFile: node.logFile },
  });
  let ids: z.infer<typeof AnyPlaneIds> | undefined;
  await until('tagqueue tells where the plane is', async () => {
    ids = await askForPlane(node);
    return ids !== undefined;
  }).catch(async (error: unknown) => {
    await daemon.stop();
    throw error;
  });
  if (ids === undefined) throw new Error('tagqueue tells nothing');
  const place = ids;
  using netns = openNetns(node.netns);
  const route = inNetns(netns, () => openNetlink(NETLINK_ROUTE));
  const plane = inNetns(netns, () =>
    'nfqueue' in place
      ? openNfqueuePorts(place.nfqueue.table, DEFAULT_MARK_MASK)
      : openPortPlane(place, DEFAULT_MARK_MASK),
  );
  const hostIf = ({ id }: LabContainer, side: Side): IfName =>
    hostEndName(node.name, id as ContainerId, IF_NAME.external as IfName, side);
  const known = [...owners].flatMap(([container, tenant]) =>
    (['external', 'internal'] as const).map(
      (side): KnownPort => ({ hostIf: hostIf(container, side), side, tenant: tenant as TenantName }),
    ),
  );
  const mtu = async (side: Side): Promise<{ mtu: number }> => ({
    mtu: (await requireLink(route, bridgeName(node.name, side))).mtu,
  });
  const bridges = { internal: await mtu('internal'), external: await mtu('external') };
  const site = rateSiteOf(
    () => plane,
    () => ({ node: node.name, bridges: bridges as NodeFacts['bridges'] }),
    { all: () => [] },
    route,
  );
  const keeper = openRateKeeper(route, { ...site, known: () => known });
  return {
    keeper,
    plane,
    hostIf,
    async want(wishes, tenants = []): Promise<void> {
      const ports = wishes.map(({ container, side, in: received = null, out = null }) => ({
        ...{ hostIf: hostIf(container, side), side, in: received, out },
        tenant: owners.get(container) as TenantName,
      }));
      const shortfalls = await keeper.apply({ ports, tenants });
      const held = await keeper.read();
      const limited = ports.filter((port) => port.in !== null || port.out !== null);
      if (held.ports.length < limited.length) throw new Error(`held is only ${JSON.stringify(held)}`);
      if (shortfalls.size > 0) throw new Error(`not limited: ${JSON.stringify([...shortfalls])}`);
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await keeper.close();
      plane[Symbol.dispose]();
      route.close();
      await daemon.stop();
    },
  };
}

async function askForPlane({ runDir }: LabNode): Promise<z.infer<typeof AnyPlaneIds> | undefined> {
  const client = localClient(tagqueueSocketOf(runDir));
  try {
    return AnyPlaneIds.parse(await client.request('GET', '/v1/plane').catch(() => undefined));
  } catch {
    return undefined;
  } finally {
    client.close();
  }
}

export const inside = (namespace: string, ...argv: string[]): [string, ...string[]] => [
  'ip',
  'netns',
  'exec',
  namespace,
  ...argv,
];

/** A receiver of iperf3's traffic, until it is stopped. */
export async function listen(namespace: string, port = 5201): Promise<Daemon> {
  const daemon = await startDaemon(inside(namespace, 'iperf3', '-s', '-p', `${port}`, '-J', '-i', '0.1'));
  const sockets = inside(namespace, 'ss', '-Hltn', `sport = :${port}`);
  await until(`iperf3 listens in ${namespace}`, async () => (await runOk(sockets)).trim() !== '');
  return daemon;
}

/** Seconds from the start. */
interface Bin {
  readonly start: number;
  readonly end: number;
  readonly bits_per_second: number;
}
interface IperfBin {
  readonly sum: Bin;
}
export interface Flow {
  /** What arrived, bits of payload a second: of the whole, and of each tenth of a second. */
  readonly rate: number;
  readonly bins: readonly Bin[];
  readonly error: string | undefined;
}

interface IperfAnswer {
  readonly error?: string;
  readonly intervals: readonly IperfBin[];
  readonly server_output_json?: { readonly intervals: readonly IperfBin[] };
  readonly end: {
    readonly sum_received?: { readonly bits_per_second: number };
    readonly sum?: { readonly bits_per_second: number };
  };
}

/** Sends from a namespace for some seconds, or with `-R` lets send. @returns what the receiver got */
export async function flow(
  namespace: string,
  to: string,
  { seconds = 2, port = 5201, more = [] }: { seconds?: number; port?: number; more?: readonly string[] } = {},
): Promise<Flow> {
  const argv = inside(
    namespace,
    ...['iperf3', '-c', to, '-p', `${port}`, '-t', `${seconds}`, '-i', '0.1', '-J', '--get-server-output'],
    ...more,
  );
  const answer = JSON.parse(await runOk(argv, { timeoutMs: (seconds + 20) * 1_000 })) as IperfAnswer;
  const received = more.includes('-R') ? answer : answer.server_output_json;
  const { sum_received, sum } = answer.end;
  return {
    rate: (sum_received ?? sum)?.bits_per_second ?? 0,
    bins: (received?.intervals ?? []).map(({ sum: bin }) => bin),
    error: answer.error,
  };
}

/** Bits a second in the bins of a stretch of time. */
export function meanRate({ bins }: Flow, from: number, to: number): number {
  const within = bins.filter(({ start }) => start > from - 0.05 && start < to - 0.05);
  const seconds = within.reduce((sum, { start, end }) => sum + end - start, 0);
  return (
    within.reduce((sum, { start, end, bits_per_second }) => sum + bits_per_second * (end - start), 0) /
    seconds
  );
}

/** How much of full TCP segments' frames is payload. */
export async function sharePayload(namespace: string, side: Side): Promise<number> {
  const [link] = JSON.parse(
    await runOk(['ip', '-n', namespace, '-j', 'link', 'show', IF_NAME[side]]),
  ) as readonly { readonly mtu: number }[];
  const mtu = link?.mtu ?? 0;
  return mtu / rateOfFrames(mtu, 'goodput', mtu);
}

export interface Counters {
  readonly sentBytes: number;
  readonly sentPackets: number;
  readonly receivedBytes: number;
  readonly receivedPackets: number;
}

/** What a container's own interface has counted. */
export async function countersOf(namespace: string, side: Side): Promise<Counters> {
  const [link] = JSON.parse(
    await runOk(['ip', '-n', namespace, '-j', '-s', 'link', 'show', IF_NAME[side]]),
  ) as [{ stats64: Record<'rx' | 'tx', { bytes: number; packets: number }> }];
  const { rx, tx } = link.stats64;
  return {
    ...{ sentBytes: tx.bytes, sentPackets: tx.packets },
    ...{ receivedBytes: rx.bytes, receivedPackets: rx.packets },
  };
}

/** Round trips in ms. */
export async function ping(namespace: string, to: string, count: number): Promise<number[]> {
  const out = await runOk(inside(namespace, 'ping', '-i', '0.02', '-c', `${count}`, to), {
    timeoutMs: 30_000,
  });
  return [...out.matchAll(/time=([\d.]+)/g)].map(([, time]) => Number(time));
}
