/** What storaged tells the server of its node: room, bricks, mounts; and the coordinator of a volume, how that is. */
import * as z from 'zod';
import { Ipv4 } from './addresses.ts';
import { FlatLimits } from './limits-tree.ts';
import { ContainerId, NodeName } from './names.ts';
import { MountId, VolumeId } from './volume.ts';

const Bytes = z.int().min(0);

/** The room a storage node has for bricks. */
export const Pool = z.strictObject({
  /** Of the file system under it, without what is kept free. */
  totalBytes: Bytes,
  /** What its bricks may come to need; with thin volumes it may be more than there is. */
  promisedBytes: Bytes,
  /** What is free now. */
  freeBytes: Bytes,
});
export type Pool = z.infer<typeof Pool>;

/** How full a file system is. */
export const Fill = z.strictObject({
  totalBytes: Bytes,
  freeBytes: Bytes,
  totalInodes: z.int().min(0),
  freeInodes: z.int().min(0),
});
export type Fill = z.infer<typeof Fill>;

/**
 * What a brick's own index knows of other copies that are behind: nothing; writes that were begun, which may only be
 * under way; something that another copy lacks.
 */
export const HealIndex = z.enum(['empty', 'dirty', 'pending']);
export type HealIndex = z.infer<typeof HealIndex>;

export const BrickReport = z.strictObject({
  volume: VolumeId,
  /** Its place in the volume's list. */
  index: z.int().min(0),
  /** `ready`: made and mounted, at the size of that generation of the record. */
  state: z.enum(['ready', 'failed']),
  generation: z.int(),
  /** What Gluster calls the place on its node; of a ready one. */
  path: z.string().startsWith('/').optional(),
  /** Why it failed; one sentence. */
  why: z.string().nullable(),
  fill: Fill.nullable(),
  /** Whether its process serves; of one whose volume has started, when it has had the time to. */
  online: z.boolean().optional(),
  /** Of one that serves. */
  healIndex: HealIndex.optional(),
});
export type BrickReport = z.infer<typeof BrickReport>;

export const HealReport = z.strictObject({
  /** Files and directories that some copy has still to catch up with. */
  pending: z.int().min(0),
  splitBrain: z.int().min(0),
});

/** From a volume's coordinator. */
export const VolumeReport = z.strictObject({
  volume: VolumeId,
  /** Which generation of the record this is the answer to. */
  generation: z.int(),
  /** `absent`: Gluster knows nothing of it (any more). */
  state: z.enum(['started', 'stopped', 'failed', 'absent']),
  why: z.string().nullable(),
  /** By number, whether a brick's process serves. */
  online: z.array(z.boolean()),
  fill: Fill.nullable(),
  heal: HealReport.nullable(),
});
export type VolumeReport = z.infer<typeof VolumeReport>;

/** Counters of one direction since the client began; they restart with it. */
export const FlowCounters = z.strictObject({
  ops: z.int().min(0),
  bytes: Bytes,
  errors: z.int().min(0),
  /** How many had to wait for a limit, and for how long altogether. */
  throttled: z.int().min(0),
  throttledMs: z.number().min(0),
  /** Waiting now. */
  queued: z.int().min(0),
  /** Finished within 2^n microseconds but not 2^(n-1): the place in the list is n. */
  latency: z.array(z.int().min(0)).max(32),
});
export type FlowCounters = z.infer<typeof FlowCounters>;

export const MountStatistics = z.strictObject({
  /** What the client's process holds, read back from it. */
  limits: FlatLimits,
  read: FlowCounters,
  write: FlowCounters,
  /** Creation, removal, renaming, attributes: everything that moves no data. */
  metadata: FlowCounters,
});
export type MountStatistics = z.infer<typeof MountStatistics>;

export const MountReport = z.strictObject({
  id: MountId,
  volume: VolumeId,
  container: ContainerId,
  /** Where it is in the container, as far as we put it there. */
  directory: z.string().nullable(),
  /** `broken`: its client is dead and not replaced yet. */
  state: z.enum(['mounted', 'broken']),
  /** How often its client was replaced. */
  replaced: z.int().min(0),
  statistics: MountStatistics.nullable(),
});
export type MountReport = z.infer<typeof MountReport>;

/** What has befallen storage; kept by the server for `sluice volume show`, and logged. */
export const VolumeEvent = z.strictObject({
  /** Unix ms. */
  at: z.number(),
  volume: VolumeId.nullable(),
  what: z.enum([
    'brick-down',
    'brick-up',
    'heal-pending',
    'healed',
    'near-full',
    'client-replaced',
    'mount-dead',
    'mount-alive',
    'pool-near-full',
  ]),
  /** One sentence for people. */
  text: z.string(),
});
export type VolumeEvent = z.infer<typeof VolumeEvent>;

/** POST /v1/nodes/NODE/storage: always the whole picture of the node. */
export const StorageReport = z.strictObject({
  node: NodeName,
  /** Up to which revision of the cluster this is the answer. */
  revision: z.int().min(0),
  /** null: no storage node. */
  pool: Pool.nullable(),
  /** Where Gluster reaches its bricks; of a storage node. */
  address: Ipv4.nullable(),
  bricks: z.array(BrickReport).max(10_000),
  volumes: z.array(VolumeReport).max(10_000),
  mounts: z.array(MountReport).max(10_000),
  /** Those since the last report that was answered. */
  events: z.array(VolumeEvent).max(1_000),
});
export type StorageReport = z.infer<typeof StorageReport>;

/** What is known of a brick, wherever it is. */
export const BrickStanding = z.strictObject({
  /** null: nobody knows yet. */
  online: z.boolean().nullable(),
  fill: Fill.nullable(),
  /** null: it cannot be asked. */
  healIndex: HealIndex.nullable(),
});
export type BrickStanding = z.infer<typeof BrickStanding>;

/** The answer to a report: how the bricks are of the volumes that the node coordinates, by number. */
export const StorageAnswer = z.strictObject({
  volumes: z.array(z.strictObject({ volume: VolumeId, bricks: z.array(BrickStanding) })),
});
export type StorageAnswer = z.infer<typeof StorageAnswer>;

/** A node reports at least so often, and at once when something it was asked for is done. */
export const STORAGE_REPORT_EVERY_MS = 1_000;
