/** What people ask of volumes and what they are shown: the shapes of /v1/volumes. */
import * as z from 'zod';
import { NodeName, TenantName, VolumeName } from './names.ts';
import { Layout, Volume, VolumeId, VolumeLimits } from './volume.ts';
import { BrickReport, MountReport, VolumeEvent, VolumeReport } from './volume-report.ts';

/** The smallest file system a brick can have (mkfs.xfs(8), 300 MB since xfsprogs 5.19), and two of them. */
export const LEAST_VOLUME_BYTES = 2 ** 30;
/** What Gluster, XFS and 64-bit arithmetic in JavaScript carry without doubt. */
export const MOST_VOLUME_BYTES = 2 ** 50;

export const SizeBytes = z
  .int()
  .min(LEAST_VOLUME_BYTES, 'a volume has at least 1 GiB')
  .max(MOST_VOLUME_BYTES, 'a volume has at most 1 PiB');

/** POST /v1/volumes?waitMs= */
export const VolumeWish = z.strictObject({
  /** May be left out by a tenant's token. */
  tenant: TenantName.optional(),
  name: VolumeName,
  sizeBytes: SizeBytes,
  inodes: z.int().min(1_000).nullable().default(null),
  /** Default: two-by-two where there are two storage nodes or more, else single. */
  layout: Layout.optional(),
  thin: z.boolean().default(false),
  limits: VolumeLimits.default({}),
  nodeLimits: VolumeLimits.default({}),
});
export type VolumeWish = z.infer<typeof VolumeWish>;

/** POST /v1/volumes/ID/resize */
export const ResizeWish = z.strictObject({
  sizeBytes: SizeBytes,
  inodes: z.int().min(1_000).nullable().optional(),
});
/** PUT /v1/volumes/ID/limits: what is named replaces, the rest stays; null is unlimited. */
export const LimitWish = z.strictObject({
  limits: VolumeLimits.optional(),
  nodeLimits: VolumeLimits.optional(),
});
/** GET, POST and DELETE of one volume: `id` is its id, or its name together with ?tenant= (a tenant's own otherwise). */
export const VolumeWord = z.union([VolumeId, VolumeName]);
export type VolumeWord = z.infer<typeof VolumeWord>;

/** POST /v1/volumes/ID/move: what a storage node has of it goes to another, and is brought up to date there by the other copies. */
export const MoveWish = z.strictObject({
  from: NodeName,
  /** Default: where there is most room. */
  to: NodeName.optional(),
});
export type MoveWish = z.infer<typeof MoveWish>;

/** DELETE /v1/volumes/ID?now=1 has no body. POST /v1/volumes/ID/hosts: a node is about to mount it. */
export const HostWish = z.strictObject({ node: NodeName });

/** POST /v1/recover at storaged.sock: reads a volume's files from the bricks of this node, without Gluster. */
export const RecoverWish = z.strictObject({
  /** The server may be gone: storaged looks it up in what it last heard of the cluster. */
  volume: VolumeWord,
  /** Where several tenants have a volume of that name. */
  tenant: TenantName.optional(),
  /** A directory that is empty, or not there yet; the files are written below it. */
  to: z.string().startsWith('/'),
  /** Go on where less than a quorum is at hand, and newer data may be elsewhere. */
  acceptOld: z.boolean().default(false),
  /** Where bricks of other nodes have been brought to, by their number in the volume's list. */
  bricks: z.record(z.string().regex(/^\d{1,4}$/), z.string().startsWith('/')).default({}),
});
export type RecoverWish = z.infer<typeof RecoverWish>;

export interface RecoverProgress {
  readonly files: number;
  /** Written so far. */
  readonly bytes: number;
}

export interface Recovered extends RecoverProgress {
  /** What was left out because nobody can tell what is true: paths within the volume, and why. */
  readonly refused: readonly { readonly path: string; readonly why: string }[];
}

/** The lines of the answer: how far it is, now and then, and at the end what has become of it. */
export type RecoverLine = { readonly progress: RecoverProgress } | { readonly recovered: Recovered };

/** GET /v1/volumes/ID, and an item of GET /v1/volumes (a tenant sees its own; ?tenant= narrows, ?all=1 shows deleted ones). */
export const VolumeShown = z.strictObject({
  volume: Volume,
  /** Whether its coordinator has been heard of lately; else what is below are its last words. */
  reachable: z.boolean(),
  /** Whether what was asked has been done on all nodes concerned. */
  settled: z.boolean(),
  report: VolumeReport.nullable(),
  bricks: z.array(
    z.strictObject({ node: NodeName, brick: BrickReport.nullable(), online: z.boolean().nullable() }),
  ),
  mounts: z.array(
    z.strictObject({
      node: NodeName,
      /** When its node said so, Unix ms by the server's clock. */
      at: z.number(),
      mount: MountReport,
    }),
  ),
  /** The last ones, oldest first. */
  events: z.array(VolumeEvent),
  /** What its owner should know, in sentences: not redundant, near full, heal pending. */
  warnings: z.array(z.string()),
});
export type VolumeShown = z.infer<typeof VolumeShown>;
