/** Builds a lab's network: a wire, the nodes on it, and a small internet behind its gateway. */

import { namesIn } from '../linux/directories.ts';
import { inNetns, openNetns } from '../linux/netns.ts';
import { run, runOk } from '../linux/process.ts';
import { writeSysctl } from '../linux/sysctl.ts';
import type { Ipv4 } from '../model/addresses.ts';
import { makeNics } from './nic.ts';
import {
  belongsTo,
  GATEWAY,
  INTERNET_HOST,
  NETNS_DIRECTORY,
  ROUTER,
  type Topology,
  UPLINK,
  WIRE_PREFIX,
  type Wire,
} from './topology.ts';

interface Host {
  readonly namespace: string;
  readonly address: Ipv4;
}

export function netnsPath(namespace: string): string {
  return `${NETNS_DIRECTORY}/${namespace}`;
}

/** @param mtu  bytes of the largest packet a host sends or takes */
export async function buildNetwork(topology: Topology, mtu: number, wire: Wire): Promise<void> {
  const { internet, nodes } = topology;
  const hosts = hostsOf(topology);
  const namespaces = [topology.wire, ...hosts.map(({ namespace }) => namespace)];
  await batch(namespaces.map((name) => `netns add ${name}`));
  for (const namespace of namespaces) silenceIpv6(namespace);

  const linked = wire.kind === 'nic' ? hosts.filter(({ namespace }) => namespace !== internet) : hosts;
  if (wire.kind === 'nic') await layCable(linked, mtu);
  else await layPorts(topology, linked, mtu);
  for (const { namespace, address } of linked) {
    await batch(
      ['link set lo up', `addr add ${address}/${WIRE_PREFIX} dev ${UPLINK}`, `link set ${UPLINK} up`],
      namespace,
    );
  }
  await batch(['link set lo up', `addr add ${INTERNET_HOST}/32 dev lo`], internet);
  for (const { namespace } of nodes) await batch([`route add default via ${GATEWAY}`], namespace);
  switch (wire.kind) {
    case 'switch':
      return joinPorts(topology, linked, mtu);
    case 'nic':
      return makeNics(nodes.map(({ namespace }) => namespace));
    case 'middle':
      return route(topology, linked, wire.mtu);
  }
}

/** The port of each host has the host's place in the list for its number. */
function hostsOf({ internet, nodes }: Topology): Host[] {
  return [
    { namespace: internet, address: GATEWAY },
    ...nodes.map(({ namespace, address }) => ({ namespace, address })),
  ];
}

async function layCable([one, other]: readonly Host[], mtu: number): Promise<void> {
  if (one === undefined || other === undefined) throw new RangeError('a cable has two ends');
  const peer = `peer name ${UPLINK} mtu ${mtu} netns ${other.namespace}`;
  await batch([`link add ${UPLINK} mtu ${mtu} type veth ${peer}`], one.namespace);
}

async function layPorts({ wire }: Topology, hosts: readonly Host[], mtu: number): Promise<void> {
  const ports = hosts.map(
    ({ namespace }, index) =>
      `link add port${index} mtu ${mtu} type veth peer name ${UPLINK} mtu ${mtu} netns ${namespace}`,
  );
  await batch([...ports, ...hosts.map((_, index) => `link set port${index} up`)], wire);
}

async function joinPorts({ wire }: Topology, hosts: readonly Host[], mtu: number): Promise<void> {
  const masters = hosts.map((_, index) => `link set port${index} master wire`);
  await batch([`link add wire mtu ${mtu} type bridge`, ...masters, 'link set wire up'], wire);
}

/**
 * The hosts need not know of the router: it answers for all of them when one asks for another (proxy ARP, RFC 1027).
 * Its limit stands in the routes, because a veth would not even take what is longer than its own MTU.
 */
async function route({ wire }: Topology, hosts: readonly Host[], mtu: number): Promise<void> {
  using netns = openNetns(netnsPath(wire));
  inNetns(netns, () => {
    writeSysctl('net/ipv4/ip_forward', '1');
    hosts.forEach((_, index) => {
      writeSysctl(`net/ipv4/conf/port${index}/proxy_arp`, '1');
      writeSysctl(`net/ipv4/neigh/port${index}/proxy_delay`, '0');
    });
  });
  const routes = hosts.map(({ address }, index) => `route add ${address}/32 dev port${index} mtu ${mtu}`);
  const internet = `route add ${INTERNET_HOST}/32 via ${GATEWAY} dev port0 onlink mtu ${mtu}`;
  await batch(['link set lo up', `addr add ${ROUTER}/32 dev lo`, ...routes, internet], wire);
}

/** Tells the router in the middle where containers are: a packet that is not in a tunnel bears their addresses. */
export async function routeBlocks(
  topology: Topology,
  mtu: number,
  blocks: ReadonlyMap<string, string>,
): Promise<void> {
  const routes = hostsOf(topology).flatMap(({ address }, index) => {
    const block = blocks.get(address);
    return block === undefined
      ? []
      : [`route replace ${block} via ${address} dev port${index} onlink mtu ${mtu}`];
  });
  await batch(routes, topology.wire);
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
