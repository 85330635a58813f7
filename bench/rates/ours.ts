/** Two nodes of ours: rates are asked for as a runtime does, and changed as an operator would. */
import type { Lab, LabContainer } from '../../lab/lab.ts';
import { localClient } from '../../linux/api-client.ts';
import type { IfName } from '../../model/names.ts';
import { proveFlow } from '../paths/plain.ts';
import type { Limited, Limits, Site } from './sites.ts';
import type { End } from './traffic.ts';

const TENANT = 'blue';
const IF_NAME = 'eth1' as IfName;
/** What containerd sends, whatever the rate: the node has to choose its own (docs/rates.md). */
const BURST = 4_294_967_295;

export async function buildOurs(lab: Lab): Promise<Site> {
  await lab.start();
  await lab.tenant(TENANT);
  const neighbour = await lab.container('a', TENANT, 'neighbour');
  const remote = await lab.container('b', TENANT, 'remote');
  for (const to of [neighbour, remote]) await proveFlow({ from: neighbour, to });
  const peers = { samehost: endOf(neighbour), twohosts: endOf(remote) };
  let count = 0;
  return {
    peer: (distance) => peers[distance],
    limited: (limits) => {
      count += 1;
      return attach(lab, `limited-${count}`, limits);
    },
  };
}

async function attach(lab: Lab, name: string, limits: Limits): Promise<Limited> {
  const { in: ingressRate, out: egressRate } = limits;
  const bandwidth = {
    ...(ingressRate !== undefined && { ingressRate, ingressBurst: BURST }),
    ...(egressRate !== undefined && { egressRate, egressBurst: BURST }),
  };
  const container = await lab.container('a', TENANT, name, { runtimeConfig: { bandwidth } });
  const netd = localClient(`${lab.node('a').runDir}/netd.sock`);
  return {
    end: endOf(container),
    change: async ({ in: into, out }) => {
      const limits = {
        ...(into !== undefined && { 'net.internal.in': into }),
        ...(out !== undefined && { 'net.internal.out': out }),
      };
      await netd.request('PUT', `/v1/limits/${container.id}`, { limits });
    },
    remove: async () => {
      netd.close();
      await container.remove();
    },
  };
}

function endOf({ netns, internal }: LabContainer): End {
  return { netns, address: internal, ifName: IF_NAME };
}
