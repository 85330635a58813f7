/**
 * What storaged and netd say to each other of the limits of shared volumes, over storaged.sock: netd decides them, as all
 * limits of a node, and storaged's clients of volumes hold them (docs/decisions/0066-limits-of-volumes.md).
 *
 * - `GET /v1/mounts`: a {@link NodeMounts}; what the clients hold is read from each of them for this answer.
 * - `GET /v1/mounts?watch=1`: the same as newline-delimited JSON; the first line at once, another whenever a mount has
 *   come, gone or changed, its client was replaced, or limits were set.
 * - `PUT /v1/mounts/:id/limits`: a {@link MountLimitsWish}, answered by a {@link MountLimitsAnswer}; `not_found` when
 *   the mount is gone, `storage_failed` while its client is dead.
 * - `PUT /v1/shares/tenants/:tenant`: the same for all mounts of a tenant on the node together.
 */
import * as z from 'zod';
import { VOLUME_FIELDS } from './limits.ts';
import { FlatLimits } from './limits-tree.ts';
import { ContainerId, TenantName } from './names.ts';
import { MountId, VolumeId, VolumeLimits } from './volume.ts';

/** Bytes or operations a second; null: unlimited. What is read back is not checked against bounds: it is what it is. */
const Rate = z.number().min(0).nullable();

/** What holds, of all four fields. */
export const VolumeRates = z.strictObject({
  'volume.read': Rate,
  'volume.write': Rate,
  'volume.readOps': Rate,
  'volume.writeOps': Rate,
});
export type VolumeRates = z.infer<typeof VolumeRates>;

export const UNLIMITED_VOLUME: VolumeRates = {
  'volume.read': null,
  'volume.write': null,
  'volume.readOps': null,
  'volume.writeOps': null,
};

export const HeldMount = z.strictObject({
  id: MountId,
  volume: VolumeId,
  tenant: TenantName,
  container: ContainerId,
  /** Where it is in the container, as far as storaged put it there. */
  directory: z.string().nullable(),
  /** `broken`: its client is dead and not replaced yet. */
  state: z.enum(['mounted', 'broken']),
  /** What was asked for this mount alone; the volume's own limits stand in its record. */
  limits: VolumeLimits,
  /** What the client's process holds; null while there is none that could be asked. */
  held: VolumeRates.nullable(),
  /** How often its client was replaced: a new one may hold something else without anybody having changed it. */
  replaced: z.int().min(0),
});
export type HeldMount = z.infer<typeof HeldMount>;

/** What all mounts of a tenant on the node hold together. */
export const HeldVolumeShare = z.strictObject({ tenant: TenantName, held: VolumeRates });
export type HeldVolumeShare = z.infer<typeof HeldVolumeShare>;

/** All mounts of a node, and the shares of the tenants that have any. */
export const NodeMounts = z.strictObject({
  mounts: z.array(HeldMount),
  shares: z.array(HeldVolumeShare),
});
export type NodeMounts = z.infer<typeof NodeMounts>;

/** All four fields: they change together. */
export const MountLimitsWish = z.strictObject({
  limits: FlatLimits.pipe(VolumeRates),
});
export type MountLimitsWish = z.infer<typeof MountLimitsWish>;

export const MountLimitsAnswer = z.strictObject({
  /** Read back after it was set. */
  held: VolumeRates,
  /** What could not be had. */
  shortfalls: z.array(z.strictObject({ field: z.enum(VOLUME_FIELDS), why: z.string() })),
});
export type MountLimitsAnswer = z.infer<typeof MountLimitsAnswer>;
