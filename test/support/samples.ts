/** Sample nouns for tests: a small cluster whose names and numbers are easy to read in a failure. */
import type { Cidr, Ipv4, Mac } from '../../model/addresses.ts';
import type { ClusterNode, ClusterSettings } from '../../model/cluster.ts';
import type { Endpoint, Nic, PublishedPort } from '../../model/endpoint.ts';
import type {
  ContainerId,
  ContainerName,
  IfName,
  NetworkName,
  NodeName,
  TenantName,
  TenantTag,
} from '../../model/names.ts';
import { nodeFacts } from '../../netd/facts.ts';

export const SETTINGS: ClusterSettings = {
  internalPool: '10.64.0.0/12' as Cidr,
  externalPool: '10.80.0.0/12' as Cidr,
  blockPrefix: 22,
  carrier: 'auto',
};

export const NODE_A: ClusterNode = {
  node: 'a' as NodeName,
  uplinkAddress: '192.0.2.1' as Ipv4,
  internalBlock: '10.64.0.0/22' as Cidr,
  externalBlock: '10.80.0.0/22' as Cidr,
  nic: false,
  zone: null,
  labels: {},
  fenced: false,
  joinedAt: 1,
};

export const NODE_B: ClusterNode = {
  node: 'b' as NodeName,
  uplinkAddress: '192.0.2.2' as Ipv4,
  internalBlock: '10.64.4.0/22' as Cidr,
  externalBlock: '10.80.4.0/22' as Cidr,
  nic: false,
  zone: null,
  labels: {},
  fenced: false,
  joinedAt: 2,
};

export const FACTS = nodeFacts(NODE_A, SETTINGS, 'up0' as IfName, 1500);

export const WEB: PublishedPort = { hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIp: null };

/** An endpoint of node a; `n` tells its container, addresses and links apart from others. */
export function anEndpoint(n: number, changes: Partial<Endpoint> = {}): Endpoint {
  return {
    containerId: `c${n}` as ContainerId,
    ifName: 'eth0' as IfName,
    network: 'tenants' as NetworkName,
    containerName: `web-${n}` as ContainerName,
    tenant: 'blue' as TenantName,
    tag: 1 as TenantTag,
    phase: 'ready',
    netns: `/run/netns/c${n}`,
    netnsInode: 4_026_530_000 + n,
    group: 0x5c00_0000 + n,
    nics: [aNic('external', n), aNic('internal', n)],
    ports: [],
    dns: null,
    aliases: [],
    cgroupPath: null,
    bandwidth: null,
    podAnnotations: {},
    app: null,
    labels: {},
    ipv6: false,
    createdAt: 1,
    ...changes,
  };
}

function aNic(side: Nic['side'], n: number): Nic {
  const external = side === 'external';
  const bridge = FACTS.bridges[side];
  return {
    side,
    ifName: (external ? 'eth0' : 'eth1') as IfName,
    hostIf: `s${side[0]}${n.toString(16).padStart(12, '0')}` as IfName,
    address: `10.${external ? 80 : 64}.0.${n}` as Ipv4,
    block: bridge.block,
    gateway: bridge.gateway,
    mac: `02:5c:0a:${external ? '50' : '40'}:00:${n.toString(16).padStart(2, '0')}` as Mac,
    mtu: bridge.mtu,
    routes: external ? ['default'] : [FACTS.internalPool],
  };
}
