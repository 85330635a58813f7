/**
 * The node's nftables table, as one script: NAT for the external side, published ports, and who
 * may be forwarded where. Tenants are not its business: the port programs tell them apart.
 */
import { type Cidr, cidrGateway, type Ipv4, type Mac } from '../model/addresses.ts';
import { type Endpoint, nicOf, type PublishedPort } from '../model/endpoint.ts';
import { FENCE_PROBE_PORT } from '../model/fence-probe.ts';
import type { MarkMask } from '../model/mark.ts';
import type { IfName } from '../model/names.ts';
import type { NodeFacts } from './facts.ts';
import { guardRuleset } from './guard-rules.ts';
import { FIRST_GROUP, LAST_GROUP } from './names.ts';
import type { Service } from './service-ports.ts';

export interface RulesetInput {
  readonly table: string;
  readonly internalBridge: IfName;
  readonly externalBridge: IfName;
  /** The bridge's own address. */
  readonly externalMac: Mac;
  readonly uplink: IfName;
  readonly internalPool: Cidr;
  readonly markMask: MarkMask;
  readonly internalBlock: Cidr;
  readonly externalBlock: Cidr;
  /** The tunnel device through which packets between nodes go; undefined: through the uplink, untracked. */
  readonly flowTunnel?: IfName | undefined;
  readonly guards?: NodeFacts['guards'];
  /** Addresses and ports of the cluster's own services, which containers must not reach through NAT. */
  readonly services: readonly Service[];
}

/**
 * The whole table, replaced in one transaction: there is no moment without it, and tracked
 * connections live on. Every name in it has passed a schema of model/, so nothing needs quoting
 * but interface names, which may look like numbers.
 */
export function rulesetScript(input: RulesetInput, endpoints: readonly Endpoint[]): string {
  const { table, internalPool, internalBlock, externalBlock } = input;
  const internal = `"${input.internalBridge}"`;
  const external = `"${input.externalBridge}"`;
  const uplink = `"${input.uplink}"`;
  const tunnel = input.flowTunnel === undefined ? undefined : `"${input.flowTunnel}"`;
  // The connection's mark tells what the kernel may carry: flows to other nodes are tracked, and never translated.
  const trackedFlows =
    tunnel === undefined
      ? `iifname ${internal} notrack`
      : `iifname ${internal} ip daddr ${internalBlock} notrack\n    iifname ${tunnel} ip daddr ${cidrGateway(internalBlock)} notrack`;
  const throughTunnel =
    tunnel === undefined
      ? ''
      : `    iifname ${internal} oifname ${tunnel} ip daddr ${internalPool} accept\n    iifname ${tunnel} oifname ${internal} accept\n    iifname ${tunnel} drop\n    oifname ${tunnel} drop\n`;
  const services = serviceWords(input.services);
  // The marks of others stay.
  const others = `0x${(~input.markMask >>> 0).toString(16)}`;
  // Probes bear the whole mask as their mark (model/mark.ts).
  const mask = `0x${input.markMask.toString(16)}`;
  const probes = `iifname ${uplink} ip daddr ${cidrGateway(internalBlock)}`;
  const guard = guardRuleset({ guards: input.guards ?? new Map() }, input.markMask, input.externalBridge);
  const keptPorts = services.map((service) => `    ${service} return\n`);
  const shutServices = services.map((service) => `    iifname ${external} ${service} drop\n`);

  return `
table ip ${table}
delete table ip ${table}
table ip ${table} {
  # Published on every address of the node, and on one only.
  map ports_any { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map ports_at { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
${guard.objects}
  # Before defragmentation (-400): internal traffic is neither tracked nor reassembled.
  chain untracked {
    type filter hook prerouting priority -450; policy accept;
    ${trackedFlows}
    iifname ${uplink} ip daddr ${internalBlock} notrack
  }

  # Only what is addressed to this node, never what merely passes through (CVE-2025-67499).
  chain publish_to_wire {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump publish
  }
  chain publish_to_host {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump publish
  }
  # A cluster service keeps its port, whoever publishes it.
  chain publish {
${keptPorts.join('')}    dnat ip to ip daddr . meta l4proto . th dport map @ports_at
    dnat ip to meta l4proto . th dport map @ports_any
  }

  chain forward {
    type filter hook forward priority filter; policy accept;
${guard.forward}${throughTunnel}    # Internal: between containers, and through the uplink where tags are put on and checked.
    iifname ${internal} oifname ${internal} accept
    iifname ${internal} oifname ${uplink} ip daddr ${internalPool} accept
    iifname ${uplink} oifname ${internal} accept
    iifname ${internal} drop
    oifname ${internal} drop
    # External: a published port is open to everybody, so what comes through it bears no tenant…
    oifname ${external} ct status dnat meta mark set meta mark & ${others} accept
    # A container that sends to its own block through the gateway is after the node's neighbour table only.
    iifname ${external} oifname ${external} ether daddr ${input.externalMac} drop
    iifname ${external} oifname ${external} accept
    # What belongs to no connection is not translated either, and would leave under the container's address.
    iifname ${external} oifname ${uplink} ct state invalid drop
    # …and the internet is open to containers, but for cluster services and link-local addresses,
    # where clouds keep their metadata.
    iifname ${external} ip daddr 169.254.0.0/16 drop
${shutServices.join('')}    oifname ${external} ct state established,related accept
    oifname ${external} drop
  }

  # Containers do not talk to the host; the host may talk to them, on the external side.
  chain to_host {
    type filter hook input priority filter; policy accept;
    iifname ${external} ct state established,related accept
    iifname ${external} drop
    iifname ${internal} drop
    # Frames to 01:80:c2:00:00:0x no bridge forwards: what is in them comes up by the port itself.
    meta iifgroup ${FIRST_GROUP}-${LAST_GROUP} drop
    # The fence's own probes: under their mark, or under none, which a whole fence lets nobody in with.
    ${probes} udp dport ${FENCE_PROBE_PORT} meta mark & ${mask} { 0, ${mask} } accept
    ${probes} icmp type { echo-request, echo-reply } meta mark & ${mask} == ${mask} accept
${tunnel === undefined ? '' : `    iifname ${tunnel} drop\n`}    # Other nodes' containers come by the wire.
    iifname ${uplink} ip daddr ${internalBlock} drop
  }

  chain egress {
    type nat hook postrouting priority srcnat; policy accept;
${guard.egress}    ip saddr ${externalBlock} oifname != ${external} masquerade
    # Through a published port to the same bridge: answers must come back through us.
    ip saddr ${externalBlock} oifname ${external} ct status dnat masquerade
    ip saddr 127.0.0.0/8 oifname ${external} masquerade
  }
}
${endpoints.map((endpoint) => publishScript(table, endpoint)).join('')}`;
}

/** One match for all addresses of the same ports: every packet to the outside goes past them. */
function serviceWords(services: readonly Service[]): string[] {
  const byPorts = new Map<string, Ipv4[]>();
  for (const { protocol, address, port, lastPort = port } of services) {
    const ports = `${protocol} dport ${port === lastPort ? port : `${port}-${lastPort}`}`;
    byPorts.set(ports, [...(byPorts.get(ports) ?? []), address]);
  }
  return [...byPorts].map(([ports, all]) => {
    const addresses = [...new Set(all)].sort();
    return `ip daddr ${addresses.length === 1 ? addresses[0] : `{ ${addresses.join(', ')} }`} ${ports}`;
  });
}

function key({ hostIp, protocol, hostPort }: PublishedPort): string {
  return hostIp === null ? `${protocol} . ${hostPort}` : `${hostIp} . ${protocol} . ${hostPort}`;
}

function mapOf({ hostIp }: PublishedPort): PortMap {
  return hostIp === null ? 'ports_any' : 'ports_at';
}

/** Opens the published ports of an endpoint. Repeating it is no error. */
export function publishScript(table: string, endpoint: Endpoint): string {
  const address = nicOf(endpoint, 'external')?.address;
  if (address === undefined) return '';
  return endpoint.ports
    .map(
      (port) =>
        `add element ip ${table} ${mapOf(port)} { ${key(port)} : ${address} . ${port.containerPort} }\n`,
    )
    .join('');
}

/** Closes published ports, and does not mind those that are closed already. */
export function unpublishScript(table: string, endpoint: Endpoint): string {
  // Deleting what is not there fails the whole transaction: add first.
  const close = endpoint.ports
    .map((port) => `delete element ip ${table} ${mapOf(port)} { ${key(port)} }\n`)
    .join('');
  return publishScript(table, endpoint) + close;
}

export const PORT_MAPS = ['ports_any', 'ports_at'] as const;
type PortMap = (typeof PORT_MAPS)[number];

/** A published port with where it leads, in one comparable word. */
export function publishedWord(port: PublishedPort, address: Ipv4): string {
  return `${key(port)} : ${address} . ${port.containerPort}`;
}

/** Chains, rules and maps of a listed table, in one comparable word: without elements and kernel handles. */
export function rulesOf(objects: readonly Readonly<Record<string, unknown>>[]): string {
  const lasting = objects.filter(
    (object) => object['metainfo'] === undefined && object['counter'] === undefined,
  );
  return JSON.stringify(lasting, (key, value: unknown) =>
    key === 'handle' || key === 'elem' ? undefined : value,
  );
}

/** The elements of a listed map (libnftables-json(5)) as words of `publishedWord`. */
export function publishedWordsOf(objects: readonly Readonly<Record<string, unknown>>[]): string[] {
  const listed = objects.map((object) => object['map']).find((map) => map !== undefined) as
    | ListedMap
    | undefined;
  return (listed?.elem ?? []).map(([from, to]) => `${from.concat.join(' . ')} : ${to.concat.join(' . ')}`);
}

interface ListedMap {
  readonly elem?: readonly (readonly [
    { readonly concat: readonly unknown[] },
    { readonly concat: readonly unknown[] },
  ])[];
}
