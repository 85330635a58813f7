/** The configuration file: one schema for every role. Every key, its default and its meaning stand in docs/configuration.md. */
import * as z from 'zod';
import { Cidr, Ipv4, Pool6 } from './addresses.ts';
import { Duration } from './duration.ts';
import { Labels, ZoneName } from './limits.ts';
import { DEFAULT_MARK_MASK, MarkMask } from './mark.ts';
import { IfName, NodeName } from './names.ts';

/** host:port; the host is an address, because a node must come up without a name server. */
export const HostPort = z
  .string()
  .regex(/^\d{1,3}(?:\.\d{1,3}){3}:\d{1,5}$/, 'must be an IPv4 address and a port such as 192.0.2.1:7070');

const PresetName = z
  .string()
  .regex(/^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/, "must be a name of a-z, 0-9 and '-'");

/** Fields, or groups of them such as `net`, and what is done to them; in people's words (docs/limits.md). */
const PresetWords = z.strictObject({
  lift: z.array(z.string()).default([]),
  set: z.record(z.string(), z.union([z.string(), z.number()])).default({}),
  scale: z.record(z.string(), z.number().positive()).default({}),
  priority: z.int().min(-1_000).max(1_000).default(0),
  /** How long, where nobody says. */
  for: Duration.optional(),
});

const DEFAULT_PRESETS: Readonly<Record<string, z.infer<typeof PresetWords>>> = {
  /** Promises nothing, so that no node can lack it: whatever is free may be used. */
  peak: { lift: ['cpu', 'net', 'block', 'volume'], set: {}, scale: {}, priority: 100, for: '6h' },
  'degrade-batch': {
    lift: [],
    set: {},
    scale: { cpu: 0.5, net: 0.5, block: 0.5, volume: 0.5 },
    priority: 50,
    for: '6h',
  },
};

export const Config = z.strictObject({
  /** This node's name; default: the machine's host name. */
  node: NodeName.optional(),
  /** Where this node stands: what fails together has one zone. */
  zone: ZoneName.optional(),
  /** What switches choose nodes by. */
  labels: Labels.default({}),
  /** The interface that leads to the other nodes and to the internet. */
  uplink: IfName.optional(),
  /** Where the server listens for other nodes; without it the machine stands alone. */
  listen: HostPort.optional(),
  /** The server of the cluster this node belongs to; without it this machine runs the server. */
  join: HostPort.optional(),
  network: z
    .strictObject({
      internalPool: Cidr.default('10.64.0.0/12' as Cidr),
      externalPool: Cidr.default('10.80.0.0/12' as Cidr),
      /** Where internal IPv6 addresses come from; without it there are none. */
      internalPool6: Pool6.optional(),
      blockPrefix: z.int().min(16).max(29).default(22),
      /** An address is not given again before this many seconds have passed since its release. */
      addressCooldownSeconds: z.int().min(0).max(86_400).default(60),
      /** EtherTypes besides IPv4 and ARP that containers of one tenant on one host may exchange. */
      allowedEtherTypes: z.array(z.int().min(0x0600).max(0xffff)).max(64).default([]),
      /** The bits of the packet mark that tell tenants apart on this node; other rules must leave them alone. */
      markMask: MarkMask.default(DEFAULT_MARK_MASK),
      /** Tracked flows that one container may have at one time: begun by it, and through its published ports each. */
      conntrackPerEndpoint: z.int().min(16).max(1_000_000).default(8_192),
      /** Tracked flows that all containers of one tenant on one node may have begun at one time. */
      conntrackPerTenant: z.int().min(16).max(10_000_000).default(65_536),
      /** New flows in a second: of one tenant on one node, and through the published ports of one container. */
      newFlowsPerSecond: z.int().min(1).max(10_000_000).default(10_000),
      /** UDP port of the carrier `vxlan` (RFC 7348); the same on all nodes. */
      vxlanPort: z.int().min(1).max(65_535).default(4_789),
      /** An address for `sluice verify` to reach through NAT; default: the uplink's default gateway, else a peer. */
      egressProbe: Ipv4.optional(),
    })
    .prefault({}),
  keys: z
    .strictObject({
      /** How often the cluster's keys change by themselves; 0: never. The server's. */
      rotateEvery: Duration.default('24h'),
      /** How long packets with the old key are accepted after all nodes send with the new one. */
      grace: Duration.default('10s'),
      /** How long a change of keys waits for a node that does not answer. */
      waitForNodes: Duration.default('10m'),
    })
    .prefault({}),
  tagqueue: z
    .strictObject({
      /** Another eBPF object than the one set-up built. The mutation tests use it to prove that each check is needed. */
      object: z.string().optional(),
      /** What enforces: `auto` is eBPF where it can be had, else packet queues to userland. */
      plane: z.enum(['auto', 'ebpf', 'nfqueue']).default('auto'),
      /** What userland sees in the plane `nfqueue`: every packet between nodes, or the first ones of a flow. */
      gear: z.enum(['packets', 'flows']).default('packets'),
      /** `auto`: packets between containers go past bridge, routing and netfilter; `off`: they take the long way. */
      fastPath: z.enum(['auto', 'off']).default('auto'),
    })
    .prefault({}),
  usage: z
    .strictObject({
      /** Days after which the hours of `sluice usage` are forgotten; totals stay. */
      keepDays: z.int().min(1).max(3_660).default(40),
    })
    .prefault({}),
  probes: z
    .strictObject({
      /** How often this node proves the fence against others; 0: never. */
      everySeconds: z.int().min(0).max(86_400).default(30),
      /** Against how many of them at a time; all come in turn. */
      peersPerRound: z.int().min(1).max(1_000).default(8),
    })
    .prefault({}),
  switches: z
    .strictObject({
      /** What is opened by name. The server's, as the others here. */
      presets: z.record(PresetName, PresetWords).default(DEFAULT_PRESETS),
      /** `required`: a switch waits until a second person agrees. */
      approval: z.enum(['none', 'required']).default('none'),
      /** Only for switches of more containers than this. */
      approveAbove: z.int().min(0).max(1_000_000).default(0),
      /** How long a switch may be open at a stretch. */
      longest: Duration.default('30d'),
    })
    .prefault({}),
  storage: z
    .strictObject({
      /** Shared volumes. `auto`: where Gluster is installed. */
      volumes: z.enum(['auto', 'on', 'off']).default('auto'),
      /** Whether this node keeps bricks. `auto`: only a machine that stands alone. */
      bricks: z.enum(['auto', 'on', 'off']).default('auto'),
      /** Where bricks are kept; default: below the state directory. */
      pool: z.string().startsWith('/').optional(),
      /** How much of the pool's file system is left free, in per cent. */
      reserve: z.number().min(0).max(90).default(10),
      /** How many times its room a pool may promise to thin volumes. */
      overcommit: z.number().min(1).max(100).default(2),
      /** Where Gluster listens: `private` is a network namespace of its own, which nothing else reaches; `auto`: that on a machine that stands alone. */
      network: z.enum(['auto', 'private', 'uplink']).default('auto'),
      /** How long a deleted volume's data is kept. The server's. */
      keepDeleted: Duration.default('24h'),
      /** PEM files by which Gluster's nodes know each other; without them they trust addresses. */
      tls: z
        .strictObject({
          certificate: z.string().startsWith('/'),
          key: z.string().startsWith('/'),
          ca: z.string().startsWith('/'),
        })
        .optional(),
    })
    .prefault({}),
  views: z
    .strictObject({
      /** `on`: the node has an lxcfs, and networks with `views` may be used. */
      lxcfs: z.enum(['on', 'off']).default('off'),
    })
    .prefault({}),
  log: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});
export type Config = z.infer<typeof Config>;
