/**
 * The nouns of limits: which fields there are, what a value means, and where values come from. How they are put
 * together is model/effective-limits.ts (docs/limits.md).
 */
import * as z from 'zod';
import { ContainerId, IfName, NodeName, TenantName } from './names.ts';

/** What a field's number counts. `cpus` is no number but a list such as 0-3,7. */
export const LIMIT_UNITS = {
  /** Cores of CPU time a second; 0.5 is half a core. */
  cpu: 'cores',
  /** CPU time that a container may save up while idle and use above its quota. */
  'cpu.burst': 'milliseconds',
  /** Share of contended CPU, 1 to 10000; 100 is ordinary (cgroup v2, cpu.weight). */
  'cpu.weight': 'weight',
  /** The CPUs it may run on. */
  'cpu.set': 'cpus',
  /** Beyond it the kernel kills. */
  memory: 'bytes',
  /** Beyond it the kernel reclaims and slows down. cgroup v2 only. */
  'memory.high': 'bytes',
  pids: 'count',
  'block.read': 'bytesPerSecond',
  'block.write': 'bytesPerSecond',
  'block.readOps': 'opsPerSecond',
  'block.writeOps': 'opsPerSecond',
  /** Share of a contended disk, 1 to 10000; 100 is ordinary (cgroup v2, io.weight). */
  'block.weight': 'weight',
  'net.internal.in': 'bitsPerSecond',
  'net.internal.out': 'bitsPerSecond',
  'net.external.in': 'bitsPerSecond',
  'net.external.out': 'bitsPerSecond',
  'volume.read': 'bytesPerSecond',
  'volume.write': 'bytesPerSecond',
  'volume.readOps': 'opsPerSecond',
  'volume.writeOps': 'opsPerSecond',
  /** What all containers of a tenant on one node have together. */
  'tenant.net.internal.in': 'bitsPerSecond',
  'tenant.net.internal.out': 'bitsPerSecond',
  'tenant.net.external.in': 'bitsPerSecond',
  'tenant.net.external.out': 'bitsPerSecond',
  'tenant.volume.read': 'bytesPerSecond',
  'tenant.volume.write': 'bytesPerSecond',
  'tenant.volume.readOps': 'opsPerSecond',
  'tenant.volume.writeOps': 'opsPerSecond',
} as const;

export type LimitUnit = (typeof LIMIT_UNITS)[LimitField];
export type LimitField = keyof typeof LIMIT_UNITS;

export const LIMIT_FIELDS = Object.keys(LIMIT_UNITS) as LimitField[];
export const LimitField = z.enum(LIMIT_FIELDS as [LimitField, ...LimitField[]]);

/** Fields of a tenant's share of a node; all others are a single container's. */
export function isTenantField(field: LimitField): boolean {
  return field.startsWith('tenant.');
}

/** From the container's point of view: `in` is what it receives. */
export const RATE_FIELDS = [
  'net.internal.in',
  'net.internal.out',
  'net.external.in',
  'net.external.out',
] as const satisfies readonly LimitField[];
export type RateField = (typeof RATE_FIELDS)[number];

/** Those that the clients of shared volumes hold (docs/storage.md). */
export const VOLUME_FIELDS = [
  'volume.read',
  'volume.write',
  'volume.readOps',
  'volume.writeOps',
] as const satisfies readonly LimitField[];
export type VolumeField = (typeof VOLUME_FIELDS)[number];

/** Those that the kernel's cgroups hold. */
export const CGROUP_FIELDS = [
  'cpu',
  'cpu.burst',
  'cpu.weight',
  'cpu.set',
  'memory',
  'memory.high',
  'pids',
  'block.read',
  'block.write',
  'block.readOps',
  'block.writeOps',
  'block.weight',
] as const satisfies readonly LimitField[];
export type CgroupField = (typeof CGROUP_FIELDS)[number];

/** A number in the field's unit, a list of CPUs for `cpu.set`, or null: explicitly without limit. */
export type LimitValue = number | string | null;

/** What one source says; a field that is absent is one it says nothing of. */
export type Limits = { readonly [F in LimitField]?: LimitValue | undefined };

/** Unlimited, in people's words. */
export const UNLIMITED = 'unlimited';

/** Who may name a base value, strongest first. */
export const BASE_SOURCES = ['app', 'runtime', 'plan', 'cluster'] as const;
export type BaseSource = (typeof BASE_SOURCES)[number];

/** The base of one container: what holds while no switch is open. */
export interface BaseLayers {
  /** What its app, or an operator for this one container, has said; CNI `bandwidth` among it. */
  readonly app: Limits;
  /** What the runtime had set in the kernel when we first saw the container. */
  readonly runtime: Limits;
  /** Its tenant's plan. */
  readonly plan: Limits;
  readonly cluster: Limits;
}

/** Labels by which switches choose containers; operators' and apps' words, checked like names. */
const LabelWord = z
  .string()
  .regex(
    /^[a-z0-9](?:[-a-z0-9_.]{0,61}[a-z0-9])?$/,
    "must be 1 to 63 of a-z, 0-9, '-', '_' and '.', starting and ending with a letter or digit",
  );
export const Labels = z.record(LabelWord, LabelWord).refine((all) => Object.keys(all).length <= 32, {
  message: 'at most 32 labels',
});
export type Labels = z.infer<typeof Labels>;
export const AppName = LabelWord;
export const ZoneName = LabelWord;

/** A container as selectors see it. */
export const Subject = z.strictObject({
  node: NodeName,
  zone: z.string().nullable(),
  tenant: TenantName,
  /** What the app is called; the container's name where there is no app. */
  app: z.string().nullable(),
  /** The container's own name. */
  instance: z.string().nullable(),
  containerId: ContainerId,
  ifName: IfName,
  labels: Labels,
});
export type Subject = z.infer<typeof Subject>;

/** What a node has to give. */
export const Capacity = z.strictObject({
  /** Cores. */
  cpu: z.number().positive(),
  /** Bytes. */
  memory: z.number().positive(),
  /** Bits a second of its uplink; null where the kernel does not say. */
  uplink: z.number().positive().nullable(),
});
export type Capacity = z.infer<typeof Capacity>;
