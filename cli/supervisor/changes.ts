/** What `sluice up` would change on this machine: for `--dry-run`, and so that nothing comes as a surprise. */
import type { Link } from '../../linux/links.ts';
import { type Cidr, cidrNth, cidrPrefix } from '../../model/addresses.ts';
import type { Config } from '../../model/config.ts';
import type { Side } from '../../model/endpoint.ts';
import { FENCE_PROBE_PORT } from '../../model/fence-probe.ts';
import { GLUSTER_PORTS, portText } from '../../model/gluster-ports.ts';
import type { IfName, NodeName } from '../../model/names.ts';
import { type NodeFacts, nodeFacts } from '../../netd/facts.ts';
import { flowsTable } from '../../netd/flow-limits.ts';
import { bridgeName, headroomName, shaperNames, tunnelName } from '../../netd/names.ts';
import { bridgeSettings, type NodeAction, type ObservedNode, planNode } from '../../netd/node-plan.ts';
import { GUARD_CHAIN } from '../../tagqueue/guard/chain.ts';
import { chainNames, fenceTable, flowPort, flowTunnel } from '../../tagqueue/nfqueue/names.ts';
import { pinDirectoryOf } from '../../tagqueue/pins.ts';
import { daemonsOf, type Places, socketOf } from '../places.ts';
import type { StorageChoice } from '../storage-choice.ts';

export interface Change {
  readonly kind: 'interface' | 'sysctl' | 'nftables' | 'route' | 'program' | 'mount' | 'file' | 'listen';
  /** What would be there; for a sysctl also what is there now. */
  readonly what: string;
}

export interface ChangesInput {
  readonly node: NodeName;
  readonly uplink: Link;
  readonly listen: string | undefined;
  readonly join: string | undefined;
  readonly network: Config['network'];
  /** What will enforce here. */
  readonly plane: 'ebpf' | 'nfqueue';
  readonly gear: Config['tagqueue']['gear'];
  readonly places: Places;
  readonly storage: StorageChoice & { readonly pool: string };
  readonly observed: ObservedNode;
}

/**
 * A node that is new gets the first free block of each pool from its server; which one a cluster would give cannot be
 * known before, so the first stands for it.
 */
export function changesOf(input: ChangesInput): Change[] {
  const facts = factsOf(input);
  const actions = planNode({ facts, blocks: new Map(), ownedLinks: new Set(), observed: input.observed });
  return [
    ...actions.flatMap((action) => changeOf(action, facts, input.observed)),
    ...(input.plane === 'ebpf' ? vxlanDevices(input) : []),
    ...shapers(input),
    { kind: 'nftables', what: `table ip ${facts.table}` },
    { kind: 'nftables', what: `table ip ${flowsTable(facts.table)}` },
    { kind: 'nftables', what: `table ip ${GUARD_CHAIN.table}, chain ${GUARD_CHAIN.name} (iptables)` },
    ...(input.plane === 'ebpf' ? ebpfPlane(input) : nfqueuePlane(input)),
    ...storageOf(input),
    ...files(input),
    {
      kind: 'listen',
      what: `UDP ${FENCE_PROBE_PORT} on the node's internal gateway address, for fence probes`,
    },
    ...(input.listen === undefined
      ? []
      : [{ kind: 'listen', what: `TCP ${input.listen}, for other nodes` } as const]),
  ];
}

function factsOf({ node, uplink, network }: ChangesInput): NodeFacts {
  const { internalPool, externalPool, internalPool6, blockPrefix } = network;
  const first = (pool: Cidr): Cidr =>
    cidrPrefix(pool) <= blockPrefix ? cidrNth(pool, blockPrefix, 0) : pool;
  const self = {
    node,
    internalBlock: first(internalPool),
    externalBlock: first(externalPool),
  };
  return nodeFacts(self, { internalPool, externalPool, internalPool6 }, uplink.name, uplink.mtu);
}

function changeOf(action: NodeAction, facts: NodeFacts, observed: ObservedNode): Change[] {
  switch (action.do) {
    case 'bridge':
      return [
        { kind: 'interface', what: `bridge ${action.bridge.name}, MTU ${action.bridge.mtu}` },
        ...bridgeSettings(action.bridge).map(
          ({ name, value }): Change => ({ kind: 'sysctl', what: `${dotted(name)} = ${value}` }),
        ),
      ];
    case 'bridge-mtu':
      return [{ kind: 'interface', what: `MTU ${action.bridge.mtu} on ${action.bridge.name}` }];
    case 'bridge-up':
      return [{ kind: 'interface', what: `${action.bridge.name} up` }];
    case 'bridge-address': {
      const { gateway, block, name } = action.bridge;
      return [
        {
          kind: 'interface',
          what: `${gateway}/${cidrPrefix(block)} on ${name} (the server decides which block)`,
        },
      ];
    }
    case 'setting': {
      const { name, value } = action.setting;
      const own = {
        kind: 'sysctl',
        what: `${dotted(name)}: ${observed.settings.get(name)} → ${value}`,
      } as const;
      return name === 'net/ipv4/ip_forward' ? [own, FOLLOWS_FORWARDING] : [own];
    }
    case 'route':
      return [
        {
          kind: 'route',
          what:
            action.via === undefined
              ? `unreachable ${action.to}`
              : `${action.to} via ${action.via} dev ${facts.uplink}`,
        },
      ];
    // Of an earlier start; the running node knows its peers, so these say nothing about what will be.
    case 'unroute':
    case 'remove-link':
      return [];
  }
}

function vxlanDevices({ node, network: { vxlanPort }, observed }: ChangesInput): Change[] {
  const isNew = (name: IfName): boolean => !observed.links.some((link) => link.name === name);
  const [tunnel, headroom] = [tunnelName(node), headroomName(node)];
  return [
    ...(isNew(headroom)
      ? [
          {
            kind: 'interface',
            what: `vxlan device ${headroom}, down, port of ${bridgeName(node, 'internal')}`,
          } as const,
        ]
      : []),
    ...(isNew(tunnel)
      ? [
          { kind: 'interface', what: `vxlan device ${tunnel}` } as const,
          { kind: 'listen', what: `UDP ${vxlanPort} (${tunnel}), for other nodes` } as const,
        ]
      : []),
  ];
}

function shapers({ node, observed, plane }: ChangesInput): Change[] {
  return (['internal', 'external'] satisfies Side[]).flatMap((side): Change[] => {
    const names = shaperNames(node, side);
    if (observed.links.some(({ name }) => name === names.out)) return [];
    const bridge = bridgeName(node, side);
    const queues = 'with a queue (htb) each';
    if (plane !== 'ebpf')
      return [{ kind: 'interface', what: `ifb devices ${names.out} and ${names.in}, ${queues}` }];
    const what = `veth pair ${names.out} and ${names.in}, the latter a port of ${bridge}, ${queues}`;
    return [
      { kind: 'interface', what },
      { kind: 'sysctl', what: `net.ipv6.conf.${names.out}.disable_ipv6 = 1, and of ${names.in}` },
    ];
  });
}

/** The kernel's doing (net/ipv4/devinet.c, inet_forward_change). */
const FOLLOWS_FORWARDING: Change = {
  kind: 'sysctl',
  what: 'net.ipv4.conf.*.forwarding and net.ipv4.conf.all.accept_redirects, which follow ip_forward',
};

const dotted = (name: string): string => name.replaceAll('/', '.');

function ebpfPlane({ uplink, places, node }: ChangesInput): Change[] {
  const programs = ['ingress', 'egress'].map(
    (direction): Change => ({ kind: 'program', what: `eBPF on ${uplink.name} ${direction} (clsact)` }),
  );
  const pins = pinDirectoryOf(places.runDir, node);
  return [...programs, { kind: 'mount', what: `bpf on ${places.runDir}/bpf, pins in ${pins}` }];
}

function nfqueuePlane({ node, gear, network: { vxlanPort } }: ChangesInput): Change[] {
  const { arrivals, departures, flowArrivals } = chainNames(node);
  const tables = ['bridge', 'ip'].map(
    (family): Change => ({ kind: 'nftables', what: `table ${family} ${fenceTable(node)}` }),
  );
  const chains = [
    `raw, chain ${arrivals}`,
    `mangle, chain ${departures}`,
    ...(gear === 'flows' ? [`mangle, chain ${flowArrivals}`] : []),
  ].map((chain): Change => ({ kind: 'nftables', what: `table ip ${chain} (iptables)` }));
  if (gear === 'packets') return [...tables, ...chains];
  const tunnel = flowTunnel(node);
  return [
    ...tables,
    ...chains,
    { kind: 'interface', what: `vxlan device ${tunnel}` },
    { kind: 'listen', what: `UDP ${flowPort(vxlanPort)} (${tunnel}), for other nodes` },
  ];
}

/** Nothing of it is there before the first brick or mount. */
function storageOf({ storage }: ChangesInput): Change[] {
  if (!storage.volumes) return [];
  const where = storage.network === 'private' ? 'network and mount namespaces' : 'a mount namespace';
  const gluster: Change = {
    kind: 'program',
    what: `with the first volume: glusterd in ${where} of its own, and a client for each container that mounts one`,
  };
  if (!storage.bricks) return [gluster];
  const ports = `TCP ${GLUSTER_PORTS.map(portText).join(' and ')} on the uplink, for the other nodes' Gluster`;
  return [
    gluster,
    {
      kind: 'mount',
      what: `with the first volume: a loop device and XFS for each brick, images in ${storage.pool}`,
    },
    ...(storage.network === 'private' ? [] : [{ kind: 'listen', what: ports } as const]),
  ];
}

function files({ places, join, storage }: ChangesInput): Change[] {
  const daemons = daemonsOf({ joined: join !== undefined, storage: storage.volumes });
  const kept =
    join === undefined
      ? 'server.sqlite, server.pem, netd.sqlite, tagqueue.sqlite, tagqueue.json'
      : 'node.json, netd.sqlite, tagqueue.sqlite, tagqueue.json';
  return [
    ...daemons.map((daemon): Change => ({ kind: 'file', what: socketOf(places, daemon) })),
    { kind: 'file', what: `${places.runDir}/up.json` },
    { kind: 'file', what: `${places.stateDir}: ${kept}${storage.volumes ? ', storaged.sqlite' : ''}` },
  ];
}
