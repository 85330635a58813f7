/** An endpoint: one container's attachment to the node, with up to two network interfaces. */
import * as z from 'zod';
import { Cidr, Ipv4, Ipv6, Mac, Pool6 } from './addresses.ts';
import { AppName, Labels } from './limits.ts';
import { ContainerId, ContainerName, IfName, NetworkName, TenantName, TenantTag } from './names.ts';

/** Which bridge: external faces the internet through NAT, internal faces the tenant's own containers. */
export const Side = z.enum(['external', 'internal']);
export type Side = z.infer<typeof Side>;

export const Protocol = z.enum(['tcp', 'udp']);
export type Protocol = z.infer<typeof Protocol>;

const PortNumber = z.int().min(1).max(65_535);

/** A port of the node that leads to a port of the container's external interface. */
export const PublishedPort = z.strictObject({
  hostPort: PortNumber,
  containerPort: PortNumber,
  protocol: Protocol,
  /** Only connections to this address of the node; null: to any of them. */
  hostIp: Ipv4.nullable(),
});
export type PublishedPort = z.infer<typeof PublishedPort>;

/** One network interface of a container and its counterpart on the host. */
export const Nic = z.strictObject({
  side: Side,
  /** Name inside the container. */
  ifName: IfName,
  /** Name of the other end, on the node's bridge. */
  hostIf: IfName,
  address: Ipv4,
  /** The node's block on this side: on-link for the container. */
  block: Cidr,
  gateway: Ipv4,
  mac: Mac,
  mtu: z.int().min(68).max(65_535),
  /** Networks reached through the gateway of this side, besides the block. */
  routes: z.array(z.union([Cidr, z.literal('default')])),
  /** The same on IPv6, where the interface has it: an address, and the pool that is reached through the gateway. */
  ipv6: z.strictObject({ address: Ipv6, gateway: Ipv6, pool: Pool6 }).optional(),
});
export type Nic = z.infer<typeof Nic>;

/** Name servers for the container, handed through to the runtime (CNI result `dns`). */
export const Dns = z.strictObject({
  nameservers: z.array(z.string()).optional(),
  domain: z.string().optional(),
  search: z.array(z.string()).optional(),
  options: z.array(z.string()).optional(),
});
export type Dns = z.infer<typeof Dns>;

/** Rates asked for by the runtime, from the container's point of view, in bits per second. */
export const Bandwidth = z.strictObject({
  ingressRate: z.int().min(0).optional(),
  ingressBurst: z.int().min(0).optional(),
  egressRate: z.int().min(0).optional(),
  egressBurst: z.int().min(0).optional(),
});
export type Bandwidth = z.infer<typeof Bandwidth>;

/**
 * How far an endpoint has come. A record is written as `adding` before anything is touched and as
 * `removing` before anything is taken away, so that a restart knows what to finish or undo.
 */
export const Phase = z.enum(['adding', 'ready', 'removing']);
export type Phase = z.infer<typeof Phase>;

export const Endpoint = z.strictObject({
  containerId: ContainerId,
  /** The primary interface's name: with the container id it names the endpoint (CNI 1.1, 'Attachment'). */
  ifName: IfName,
  network: NetworkName,
  containerName: ContainerName.nullable(),
  tenant: TenantName,
  tag: TenantTag,
  phase: Phase,
  /** Path of the container's network namespace, as the runtime named it. */
  netns: z.string(),
  /** The namespace's inode: a path may lead to another container's namespace later. */
  netnsInode: z.number(),
  /** The interface group that holds both host ends, so that one message removes them together. */
  group: z.int().min(1).max(0xff_ff_ff_ff),
  /** Primary first: it carries the default route. */
  nics: z.array(Nic).min(1).max(2),
  ports: z.array(PublishedPort),
  dns: Dns.nullable(),
  aliases: z.array(z.string()),
  cgroupPath: z.string().nullable(),
  bandwidth: Bandwidth.nullable(),
  podAnnotations: z.record(z.string(), z.string()),
  /** By which switches choose it. Absent in records of earlier versions. */
  app: AppName.nullable().default(null),
  labels: Labels.default({}),
  ipv6: z.boolean(),
  /** Whether its /proc is to show its own figures. */
  views: z.boolean().optional(),
  /** Unix time in ms. */
  createdAt: z.number(),
});
export type Endpoint = z.infer<typeof Endpoint>;

/** The endpoint's identity: what the CNI specification calls an attachment. */
export function endpointKey(endpoint: Pick<Endpoint, 'containerId' | 'ifName'>): string {
  return `${endpoint.containerId}/${endpoint.ifName}`;
}

export function nicOf(endpoint: Endpoint, side: Side): Nic | undefined {
  return endpoint.nics.find((nic) => nic.side === side);
}
