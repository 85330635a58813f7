/**
 * Puts up the endpoints that `sluice verify` on another node asks for: an empty network namespace
 * on this node, attached like any container. The kernel answers pings in it; nothing runs there.
 */
import type { AttachRequest } from '../cni/request.ts';
import { parseRequest } from '../cni/request.ts';
import type { ApiClient } from '../linux/api-client.ts';
import { createNetns, type Netns } from '../linux/netns.ts';
import type { Ipv4 } from '../model/addresses.ts';
import { nicOf, type Side } from '../model/endpoint.ts';
import { asSluiceError } from '../model/errors.ts';
import type { Probe, ProbeId, ProbeStatus } from '../model/probe.ts';
import type { Netd } from './context.ts';
import { add } from './verbs/add.ts';
import { removeEndpoint } from './verbs/del.ts';

export interface ProbeKeeper {
  /** Makes the probes that are new and takes away those that are no longer asked for. */
  keep(wanted: readonly Probe[]): void;
  /** Takes all away. */
  close(): Promise<void>;
}

/** The network that probes are attached to; its name keeps them apart from a runtime's networks in GC. */
const NETWORK = 'sluice-probes';

export function createProbeKeeper(netd: Netd, server: Pick<ApiClient, 'request'>): ProbeKeeper {
  const standing = new Map<ProbeId, Netns>();
  let last: Promise<void> = Promise.resolve();

  async function settle(wanted: readonly Probe[]): Promise<void> {
    const ids = new Set(wanted.map(({ id }) => id));
    for (const id of standing.keys()) if (!ids.has(id)) await takeDown(id);
    for (const probe of wanted) if (!standing.has(probe.id) && probe.status === null) await putUp(probe);
  }

  async function putUp(probe: Probe): Promise<void> {
    const netns = createNetns();
    standing.set(probe.id, netns);
    const status = await attach(netd, probe, netns).catch((error: unknown): ProbeStatus => {
      const { message } = asSluiceError(error);
      return { ready: false, internalAddress: null, externalAddress: null, error: message };
    });
    await server.request('PUT', `/v1/probes/${probe.id}/status`, status);
  }

  async function takeDown(id: ProbeId): Promise<void> {
    for (const endpoint of netd.registry
      .all()
      .filter(({ containerId }) => (containerId as string) === containerOf(id))) {
      await netd.locks(endpoint.containerId, () => removeEndpoint(netd, endpoint));
    }
    standing.get(id)?.[Symbol.dispose]();
    standing.delete(id);
  }

  return {
    keep(wanted): void {
      last = last
        .then(() => settle(wanted))
        .catch((error: unknown) => {
          netd.log.warn({ reason: asSluiceError(error).message }, 'a probe could not be kept');
        });
    },
    async close(): Promise<void> {
      await last;
      for (const id of standing.keys()) await takeDown(id).catch(() => undefined);
    },
  };
}

function containerOf(id: ProbeId): string {
  return `probe-${id}`;
}

async function attach(netd: Netd, probe: Probe, netns: Netns): Promise<ProbeStatus> {
  const env = {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: containerOf(probe.id),
    CNI_NETNS: netns.path,
    CNI_IFNAME: 'eth0',
  };
  const conf = { cniVersion: '1.1.0', name: NETWORK, type: 'sluice-cni', tenant: probe.tenant };
  const request = parseRequest(env, JSON.stringify(conf)) as AttachRequest;
  await add(netd, request, { env, stdin: '', netns: null });
  const endpoint = netd.registry.get(request.containerId, request.ifName);
  const address = (side: Side): Ipv4 | null => (endpoint && nicOf(endpoint, side)?.address) ?? null;
  return { ready: true, internalAddress: address('internal'), externalAddress: address('external') };
}
