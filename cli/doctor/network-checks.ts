/** Checks of a machine's network: whether a node fits into it. */

import { OUR_ROUTES } from '../../linux/addressing.ts';
import type { Link } from '../../linux/links.ts';
import { type Cidr, cidrContains, cidrOverlaps, cidrPrefix } from '../../model/addresses.ts';
import { CARRIER_ROOM } from '../../model/carrier.ts';
import { bridgeName } from '../../netd/names.ts';
import { type Finding, fail, type MachineFacts, ok, warn } from './facts.ts';

export function checkUplink({ uplinkName, links, addresses }: MachineFacts): Finding {
  const id = 'uplink';
  if (uplinkName === undefined) {
    return warn(
      id,
      'no uplink is configured',
      'name it: `uplink` in the configuration, or sluice up --uplink NAME',
    );
  }
  const link = links.find(({ name }) => name === uplinkName);
  if (link === undefined)
    return fail(id, `there is no interface ${uplinkName}`, 'see `ip link` for those there are');
  if (!link.ethernet || uplinkName === 'lo') {
    return fail(id, `${uplinkName} is no Ethernet interface`, 'name the one that leads to the other nodes');
  }
  if (!link.up) return fail(id, `${uplinkName} is down`, `ip link set ${uplinkName} up`);
  const address = addresses.find(({ index }) => index === link.index);
  if (address === undefined) {
    return fail(id, `${uplinkName} has no IPv4 address`, 'give it one: the other nodes reach this one by it');
  }
  return ok(id, `${uplinkName} has ${address.address}/${address.prefix}`);
}

/** RFC 791: what every host must be able to receive. */
const LEAST_MTU = 576;
/** What the internet takes for granted (RFC 8200). */
const USUAL_MTU = 1_280;

export function checkMtu(facts: MachineFacts): Finding {
  const link = uplinkOf(facts);
  const id = 'mtu';
  if (link === undefined) return ok(id, 'there is no uplink to look at');
  const found = `${link.name} carries ${link.mtu} bytes; containers get ${link.mtu - CARRIER_ROOM} on their internal side`;
  if (link.mtu < LEAST_MTU)
    return fail(id, found, `give it at least ${LEAST_MTU}: ip link set ${link.name} mtu 1500`);
  if (link.mtu < USUAL_MTU)
    return warn(id, found, `less than ${USUAL_MTU} is unusual: is this the right interface?`);
  return ok(id, found);
}

/** Addresses of containers must not be those of anybody else this machine talks to. */
export function checkPools(facts: MachineFacts): Finding {
  const id = 'pools';
  const { internalPool, externalPool, blockPrefix } = facts.network;
  const advice = 'choose pools that are in use nowhere else: network.internalPool, network.externalPool';
  if (cidrOverlaps(internalPool, externalPool))
    return fail(id, `${internalPool} and ${externalPool} overlap`, advice);
  const small = [internalPool, externalPool].find((pool) => cidrPrefix(pool) > blockPrefix);
  if (small !== undefined)
    return fail(id, `the pool ${small} is smaller than one block of /${blockPrefix}`, advice);
  const clashes = [internalPool, externalPool].flatMap((pool) => clashesWith(facts, pool));
  if (clashes.length > 0) return fail(id, clashes.join('; '), advice);
  return ok(id, `${internalPool} and ${externalPool} are free here`);
}

function clashesWith(facts: MachineFacts, pool: Cidr): string[] {
  const { links, addresses, routes, node } = facts;
  const ours = new Set([bridgeName(node, 'internal'), bridgeName(node, 'external')] as const);
  const own = new Set(links.filter(({ name }) => ours.has(name)).map(({ index }) => index));
  const foreign = (index: number | undefined): boolean => index === undefined || !own.has(index);
  const nameOf = (index: number | undefined): string =>
    links.find((link) => link.index === index)?.name ?? '?';
  const taken = addresses
    .filter(({ index, address }) => foreign(index) && cidrContains(pool, address))
    .map(({ index, address }) => `${nameOf(index)} has ${address}, which is in the pool ${pool}`);
  const routed = routes
    .filter(
      ({ to, dev, protocol }) =>
        protocol !== OUR_ROUTES && to !== 'default' && foreign(dev) && cidrOverlaps(to, pool),
    )
    .map(({ to, dev }) => `the route to ${to} by ${nameOf(dev)} overlaps the pool ${pool}`);
  return [...taken, ...routed];
}

/** A verdict to accept in one table does not undo a drop in another (nft(8)). */
export function checkFirewalls({ firewalls }: MachineFacts): Finding {
  const id = 'firewall';
  const closed = firewalls.filter(({ policy }) => policy === 'drop').map(({ name }) => name);
  if (closed.length === 0) return ok(id, 'no other firewall drops what is forwarded');
  return warn(
    id,
    `${closed.join(' and ')} drops what is forwarded unless a rule accepts it`,
    'let the bridges of this node through: iptables -I DOCKER-USER -i se-+ -j ACCEPT, the same with -o, and both for si-+ (without Docker: -I FORWARD)',
  );
}

/** Frames on a bridge would go through iptables too (net/bridge/br_netfilter_hooks.c). */
export function checkBridgeNetfilter({ settings }: MachineFacts): Finding {
  const id = 'bridge-nf-call';
  if (settings.get('net/bridge/bridge-nf-call-iptables') !== '1')
    return ok(id, 'bridged frames do not go through iptables');
  return warn(
    id,
    'bridged frames go through iptables: slower, and rules of others apply to containers of one tenant',
    'unless Kubernetes needs it: sysctl -w net.bridge.bridge-nf-call-iptables=0',
  );
}

/** RFC 3704: 1 is strict, 2 loose; the kernel takes the larger of `all` and the interface's own. */
export function checkReversePath(facts: MachineFacts): Finding {
  const id = 'rp_filter';
  const link = uplinkOf(facts);
  if (link === undefined) return ok(id, 'there is no uplink to look at');
  const value = (name: string): number => Number(facts.settings.get(`net/ipv4/conf/${name}/rp_filter`) ?? 0);
  if (Math.max(value('all'), value(link.name)) !== 1)
    return ok(id, 'packets may come by another way than answers go');
  const wayOut = facts.routes.find(({ to }) => to === 'default')?.dev;
  if (wayOut === undefined || wayOut === link.index)
    return ok(id, `strict on ${link.name}, which is the only way out`);
  return warn(
    id,
    `strict on ${link.name}, but the default route leaves by another interface: what comes from the internet is dropped`,
    `sysctl -w net.ipv4.conf.${link.name}.rp_filter=2, or name the other interface as uplink`,
  );
}

export function uplinkOf({
  links,
  uplinkName,
}: Pick<MachineFacts, 'links' | 'uplinkName'>): Link | undefined {
  return links.find(({ name }) => name === uplinkName);
}
