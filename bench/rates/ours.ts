/** Two nodes of ours: rates are asked for as a runtime does, and changed as an operator would. */
import type { Lab, LabContainer } from '../../lab/lab.ts';
import { localClient } from '../../linux/api-client.ts';
import { runOk } from '../../linux/process.ts';
import type { IfName } from '../../model/names.ts';
import { inside } from '../inside.ts';
import type { Limited, Limits, Site } from './sites.ts';
import type { End } from './traffic.ts';

const TENANT = 'blue';
/** The runtime's rates are those of the primary interface, so that has to be the internal one, as under Kubernetes. */
const CONF = { primary: 'internal' } as const;
const IF_NAME = 'eth0' as IfName;
/** What containerd sends, whatever the rate: the node has to choose its own (docs/rates.md). */
const BURST = 4_294_967_295;

export async function buildOurs(lab: Lab): Promise<Site> {
  await lab.start();
  await lab.tenant(TENANT);
  const peers = {
    samehost: endOf(await lab.container('a', TENANT, 'neighbour', { conf: CONF })),
    twohosts: endOf(await lab.container('b', TENANT, 'remote', { conf: CONF })),
  };
  await ping(peers.samehost, peers.twohosts);
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
  const container = await lab.container('a', TENANT, name, {
    conf: CONF,
    runtimeConfig: { bandwidth },
  });
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

/** The address of the primary interface comes first. */
function endOf({ netns, external: primary }: LabContainer): End {
  return { netns, address: primary, ifName: IF_NAME };
}

/** The route to the other node is there. @throws SluiceError `program_failed` */
async function ping(from: End, { address }: End): Promise<void> {
  await runOk(inside(from, ['ping', '-q', '-c', '1', '-w', '5', address]));
}
