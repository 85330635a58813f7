/** Builds a lab's network: a wire, the nodes on it, and a small internet behind its gateway. */

import { namesIn } from '../linux/directories.ts';
import { inNetns, openNetns } from '../linux/netns.ts';
import { run, runOk } from '../linux/process.ts';
import { writeSysctl } from '../linux/sysctl.ts';
import {
  belongsTo,
  GATEWAY,
  INTERNET_HOST,
  NETNS_DIRECTORY,
  type Topology,
  UPLINK,
  WIRE_PREFIX,
} from './topology.ts';

export function netnsPath(namespace: string): string {
  return `${NETNS_DIRECTORY}/${namespace}`;
}

/** @param mtu  bytes of the largest packet on the wire */
export async function buildNetwork({ wire, internet, nodes }: Topology, mtu: number): Promise<void> {
  const hosts = [
    { namespace: internet, address: GATEWAY },
    ...nodes.map(({ namespace, address }) => ({ namespace, address })),
  ];
  await batch([wire, ...hosts.map(({ namespace }) => namespace)].map((name) => `netns add ${name}`));
  for (const namespace of [wire, ...hosts.map((host) => host.namespace)]) silenceIpv6(namespace);

  const ports = hosts.map(({ namespace }, index) => [
    `link add port${index} mtu ${mtu} type veth peer name ${UPLINK} mtu ${mtu} netns ${namespace}`,
    `link set port${index} master wire up`,
  ]);
  await batch([`link add wire mtu ${mtu} type bridge`, 'link set wire up', ...ports.flat()], wire);
  for (const { namespace, address } of hosts) {
    await batch(
      ['link set lo up', `addr add ${address}/${WIRE_PREFIX} dev ${UPLINK}`, `link set ${UPLINK} up`],
      namespace,
    );
  }
  await batch([`addr add ${INTERNET_HOST}/32 dev lo`], internet);
  for (const { namespace } of nodes) await batch([`route add default via ${GATEWAY}`], namespace);
}

/** A lab's hosts speak when they are asked to, and at no other time. */
function silenceIpv6(namespace: string): void {
  using netns = openNetns(netnsPath(namespace));
  inNetns(netns, () => {
    for (const which of ['all', 'default']) writeSysctl(`net/ipv6/conf/${which}/disable_ipv6`, '1');
  });
}

/** Removes every namespace of the lab, with all links in them. */
export async function removeNetwork(prefix: string): Promise<void> {
  const names = namesIn(NETNS_DIRECTORY).filter((name) => belongsTo(prefix, name));
  // One by one, and past failures: a half-made name is no reason to keep the others.
  for (const name of names) await run(['ip', 'netns', 'delete', name]);
}

/** Several commands of ip(8) for the price of one program. @param namespace  where; default: this process's own */
export async function batch(commands: readonly string[], namespace?: string): Promise<void> {
  const where = namespace === undefined ? [] : ['-netns', namespace];
  await runOk(['ip', ...where, '-batch', '-'], { stdin: `${commands.join('\n')}\n` });
}
