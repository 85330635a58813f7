/**
 * The nouns of storage: volumes that tenants make, the bricks they lie on, and what a node is asked to mount. A volume's
 * record says what is wanted; what is, nodes report (model/volume-report.ts).
 */
import * as z from 'zod';
import { Ipv4 } from './addresses.ts';
import { type LimitField, type Limits, VOLUME_FIELDS } from './limits.ts';
import { FlatLimits, fieldsOf } from './limits-tree.ts';
import { ContainerId, NodeName, TenantName, VolumeName } from './names.ts';

/** Ours, never the tenant's words: it names images, directories and Gluster's volume. */
export const VolumeId = z
  .string()
  .regex(/^v[0-9a-f]{12}$/, "a volume's id is v and twelve hexadecimal digits")
  .brand<'VolumeId'>();
export type VolumeId = z.infer<typeof VolumeId>;

/** What Gluster calls it. */
export function glusterName(id: VolumeId): string {
  return `sluice-${id}`;
}

/**
 * How a volume's data lies on bricks:
 * - `single`: one brick, no redundancy: for one machine;
 * - `two-by-two`: four data bricks, two by two, distributed and replicated; with three storage nodes or more each pair
 *   has an arbiter on a third, so that the loss of any one leaves it writable;
 * - `replica-3`: three copies;
 * - `arbiter`: two copies and an arbiter.
 */
export const Layout = z.enum(['single', 'two-by-two', 'replica-3', 'arbiter']);
export type Layout = z.infer<typeof Layout>;

/** One of a volume's bricks. Its place in the record's list is its number. */
export const Brick = z.strictObject({
  node: NodeName,
  /** Where Gluster reaches it. */
  address: Ipv4,
  /** An arbiter holds names and attributes, and no data. */
  role: z.enum(['data', 'arbiter']),
  /** What it must be able to hold. */
  bytes: z.int().positive(),
});
export type Brick = z.infer<typeof Brick>;

/** Fields `volume.*` alone. */
export const VolumeLimits: z.ZodType<Limits> = FlatLimits.check(({ value, issues }) => {
  for (const [field] of fieldsOf(value))
    if (!(VOLUME_FIELDS as readonly LimitField[]).includes(field))
      issues.push({ code: 'custom', input: field, path: [field], message: 'is no limit of a volume' });
});

/**
 * - `creating`: wanted, not there yet; when it cannot be made it becomes `removing`;
 * - `ready`: it can be mounted;
 * - `deleted`: stopped, its data kept until `removeAt`; may be made ready again;
 * - `removing`: its bricks go; the record goes last.
 */
export const VolumePhase = z.enum(['creating', 'ready', 'deleted', 'removing']);
export type VolumePhase = z.infer<typeof VolumePhase>;

/** What is wanted of a volume. Nodes follow it; only the server changes it. */
export const Volume = z.strictObject({
  id: VolumeId,
  tenant: TenantName,
  /** The tenant's word for it; unique among the tenant's volumes that are not `removing`. */
  name: VolumeName,
  phase: VolumePhase,
  /** What the container's `df` shows. */
  sizeBytes: z.int().positive(),
  /** How many files and directories it may hold; null: what its file systems allow. */
  inodes: z.int().positive().nullable(),
  layout: Layout,
  /** Whether its room in the pool is taken as it fills, and not at once. */
  thin: z.boolean(),
  /** In Gluster's order: replica set by replica set. */
  bricks: z.array(Brick).min(1),
  /** Of each of its mounts, where the container has no limit of its own. */
  limits: VolumeLimits,
  /** Of all its mounts on one node together. */
  nodeLimits: VolumeLimits,
  /** The nodes that may mount it. */
  hosts: z.array(NodeName),
  /** The storage node that gives Gluster its orders for this volume. */
  coordinator: NodeName,
  /** Grows with every change of this record that nodes must act on; reports name what they have acted on. */
  generation: z.int().positive(),
  /** Unix ms; of a `deleted` one. */
  removeAt: z.number().nullable(),
  /** Unix ms. */
  createdAt: z.number(),
});
export type Volume = z.infer<typeof Volume>;

/** Data bricks in a replica set, and arbiters beside them: what `gluster volume create` is told. */
export function replicaSetsOf({ bricks, layout }: Pick<Volume, 'bricks' | 'layout'>): (readonly Brick[])[] {
  const sets = layout === 'two-by-two' ? 2 : 1;
  const length = bricks.length / sets;
  return Array.from({ length: sets }, (_, set) => bricks.slice(set * length, (set + 1) * length));
}

/** Ours: it names directories and client processes on its node. */
export const MountId = z
  .string()
  .regex(/^m[0-9a-f]{12}$/, "a mount's id is m and twelve hexadecimal digits")
  .brand<'MountId'>();
export type MountId = z.infer<typeof MountId>;

/** A path within a volume or a container; checked here for its form, and when it is opened for what it leads to. */
export const PathWithin = z
  .string()
  .max(1_024)
  .regex(/^(?:\/[^/\0]+)+$/, 'must be an absolute path without empty parts or a slash at its end')
  .refine((path) => !path.split('/').some((part) => part === '.' || part === '..'), {
    message: "must not contain '.' or '..'",
  });

/** PUT /v1/mounts at storaged.sock: a volume for one container on this node. Repeating it changes nothing. */
export const MountRequest = z.strictObject({
  volume: VolumeId,
  /** Whose mount it is: it has a Gluster client of its own, with its own quota and counters. */
  container: ContainerId,
  /** Only this directory of the volume, made where it is missing; default: all of it. */
  subDirectory: PathWithin.nullable().default(null),
  readOnly: z.boolean().default(false),
  /** Of this mount; stronger than the volume's. */
  limits: VolumeLimits.default({}),
  /**
   * Where to mount it in the running container, one of whose processes is named. null: nowhere yet; the answer's
   * `hostPath` is for the runtime to bind, with propagation `rslave`.
   */
  into: z.strictObject({ pid: z.int().positive(), directory: PathWithin }).nullable().default(null),
});
export type MountRequest = z.infer<typeof MountRequest>;
