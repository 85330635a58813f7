/** Two hosts as a container engine without Sluice sets them up: bridge, host-local, and the `bandwidth` plugin. */
import path from 'node:path';
import * as z from 'zod';
import type { Lab } from '../../lab/lab.ts';
import { batch, netnsPath } from '../../lab/network.ts';
import { namespaceOf } from '../../lab/topology.ts';
import { run, runOk } from '../../linux/process.ts';
import { Ipv4 } from '../../model/addresses.ts';
import { SluiceError } from '../../model/errors.ts';
import type { IfName } from '../../model/names.ts';
import { REFERENCE_PLUGINS } from '../cni/chains.ts';
import { inside } from '../inside.ts';
import type { Limited, Limits, Site } from './sites.ts';

const IF_NAME = 'eth0' as IfName;
const LIST = { cniVersion: '1.0.0', name: 'rates' } as const;

/** A host's largest packet of many segments, and their headers: in a smaller bucket one could wait for ever. */
const LEAST_BURST = 72 * 1024;

/**
 * A token bucket needs a burst, which the plugin takes as it is given. This one is chosen well: what containerd sends,
 * 4,294,967,295 bits, would let half a gigabyte through before any limit holds.
 * @returns bits
 */
function burstOf(rate: number): number {
  return Math.max(LEAST_BURST * 8, rate / 100);
}

/** How long a packet may wait in the plugin's queue (`latencyInMillis` in its sources). */
const LATENCY_SECONDS = 0.025;

interface Host {
  readonly netns: string;
  readonly subnet: string;
  readonly addresses: string;
}

const Result = z.object({
  interfaces: z.array(z.object({ name: z.string(), sandbox: z.string().optional() })),
  ips: z.array(z.object({ address: z.string() })),
});

/** A cable between the hosts, and a route to each other's containers: no switch, no translation, no firewall. */
export async function buildReference(lab: Lab): Promise<Site> {
  const names = ['reference-a', 'reference-b'].map((name) => namespaceOf(lab.prefix, name));
  const [one = '', other = ''] = names;
  await batch([
    ...names.map((name) => `netns add ${name}`),
    `link add up0 netns ${one} type veth peer name up0 netns ${other}`,
  ]);
  for (const [index, name] of names.entries()) {
    await batch(
      [
        ...['link set lo up', `addr add 192.0.2.${index + 1}/24 dev up0`, 'link set up0 up'],
        `route add 10.88.${2 - index}.0/24 via 192.0.2.${2 - index}`,
      ],
      name,
    );
  }
  const [near, far] = names.map(
    (name, index): Host => ({
      netns: netnsPath(name),
      subnet: `10.88.${index + 1}.0/24`,
      addresses: `${lab.directory}/host-local-${index}`,
    }),
  ) as [Host, Host];
  const peers = {
    samehost: (await attach(lab, near, 'neighbour', {})).end,
    twohosts: (await attach(lab, far, 'remote', {})).end,
  };
  let count = 0;
  return {
    peer: (distance) => peers[distance],
    limited: (limits) => {
      count += 1;
      return attach(lab, near, `${count}`, limits);
    },
  };
}

async function attach(lab: Lab, host: Host, name: string, limits: Limits): Promise<Limited> {
  const namespace = namespaceOf(lab.prefix, `reference-c-${name}`);
  const netns = netnsPath(namespace);
  await batch([`netns add ${namespace}`]);
  const call = (verb: 'ADD' | 'DEL', type: string, conf: object): Promise<string> =>
    plugin(host, verb, type, { id: namespace, netns }, conf);
  const bridge = bridgeConf(host);
  const rates = bandwidthConf(limits);
  const bridged = JSON.parse(await call('ADD', 'bridge', bridge)) as unknown;
  const result = Result.parse(JSON.parse(await call('ADD', 'bandwidth', { ...rates, prevResult: bridged })));
  const devices = devicesOf(result.interfaces);
  return {
    end: { netns, address: Ipv4.parse(result.ips[0]?.address.split('/')[0]), ifName: IF_NAME },
    change: async (wanted) => {
      // The plugin itself has no way to do it: an operator would.
      for (const direction of ['in', 'out'] as const) {
        const rate = wanted[direction];
        if (rate !== undefined) await changeBucket(host, devices[direction], rate);
      }
    },
    remove: async () => {
      await call('DEL', 'bandwidth', { ...rates, prevResult: result });
      await call('DEL', 'bridge', bridge);
      await run(['ip', 'netns', 'delete', namespace]);
    },
  };
}

function bridgeConf({ subnet, addresses }: Host): object {
  const ipam = {
    ...{ type: 'host-local', dataDir: addresses, ranges: [[{ subnet }]] },
    routes: [{ dst: '0.0.0.0/0' }],
  };
  return { ...LIST, type: 'bridge', bridge: 'reference0', isGateway: true, ipam };
}

function bandwidthConf({ in: into, out }: Limits): object {
  const bandwidth = {
    ...(into !== undefined && { ingressRate: into, ingressBurst: burstOf(into) }),
    ...(out !== undefined && { egressRate: out, egressBurst: burstOf(out) }),
  };
  return { ...LIST, type: 'bandwidth', runtimeConfig: { bandwidth } };
}

/** What the container receives is held at the host's end, what it sends at a device of the plugin's own. */
function devicesOf(
  interfaces: z.infer<typeof Result>['interfaces'],
): Record<'in' | 'out', string | undefined> {
  const hosts = interfaces.filter(({ sandbox }) => !sandbox).map(({ name }) => name);
  return {
    in: hosts.find((name) => name.startsWith('veth')),
    out: hosts.find((name) => name.startsWith('bwp')),
  };
}

async function changeBucket(host: Host, device: string | undefined, rate: number): Promise<void> {
  if (device === undefined)
    throw new SluiceError('not_found', 'no token bucket', 'see what the plugin returned');
  const burst = burstOf(rate) / 8;
  const limit = Math.round((rate / 8) * LATENCY_SECONDS + burst);
  await runOk(
    inside(host, [
      ...(['tc', 'qdisc', 'change', 'dev', device, 'root', 'tbf'] as const),
      ...['rate', `${rate}bit`, 'burst', String(burst), 'limit', String(limit)],
    ]),
  );
}

async function plugin(
  host: Host,
  verb: 'ADD' | 'DEL',
  type: string,
  container: { readonly id: string; readonly netns: string },
  conf: object,
): Promise<string> {
  const env = {
    ...{ PATH: process.env['PATH'], CNI_PATH: REFERENCE_PLUGINS, CNI_COMMAND: verb, CNI_IFNAME: IF_NAME },
    ...{ CNI_CONTAINERID: container.id, CNI_NETNS: container.netns },
  };
  const argv = inside(host, [path.join(REFERENCE_PLUGINS, type)]);
  return runOk(argv, { env, stdin: JSON.stringify(conf) });
}
