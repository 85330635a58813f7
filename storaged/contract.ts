/**
 * What storaged's parts are to each other: Gluster's daemon, its command, bricks, mounts, and the clients' limits. The
 * daemon (storaged/main.ts) knows its parts by this alone, so that a whole node can run in a simulated world.
 */

import type { Argv } from '../linux/process.ts';
import type { Ipv4 } from '../model/addresses.ts';
import type { LimitField, Limits } from '../model/limits.ts';
import type { TenantName } from '../model/names.ts';
import type { Layout, MountId, MountRequest, VolumeId } from '../model/volume.ts';
import type { Fill, MountStatistics, Pool } from '../model/volume-report.ts';

/** glusterd, and everything it starts, in a mount namespace of its own that has our directories in its places. */
export interface GlusterDaemon {
  /** Where other nodes and clients reach it. */
  readonly address: Ipv4;
  /** Starts it where it does not run; adopts it where it does. @throws SluiceError `storage_failed` */
  ensure(): Promise<void>;
  isAlive(): boolean;
  /** The program, as it is run inside its namespaces. `ensure` must have succeeded. */
  inside(argv: Argv): Argv;
  /** A process that lives in its namespaces: they can be looked at without entering them. undefined: there are none. */
  holder(): number | undefined;
  /** The directory that is the same inside and outside: bricks are mounted below it, inside. */
  readonly brickRoot: string;
  /** Of these bricks of this node, by path, those that a process serves. */
  serving(bricks: readonly string[]): ReadonlySet<string>;
  /** Where glusterd writes down what it knows of its cluster. */
  readonly kept: string;
  /** Resolves when it ends by itself. */
  died(signal: AbortSignal): Promise<void>;
  /** Ends it with its bricks, and takes its namespaces away. */
  stop(): Promise<void>;
}

export interface GlusterPeer {
  readonly address: string;
  readonly uuid: string;
  readonly connected: boolean;
  /** Whether it is a full member (peer in cluster). */
  readonly joined: boolean;
}

export interface GlusterBrick {
  /** ADDRESS:PATH */
  readonly name: string;
  readonly arbiter: boolean;
}

export interface GlusterVolume {
  readonly name: string;
  readonly state: 'created' | 'started' | 'stopped';
  readonly bricks: readonly GlusterBrick[];
  readonly options: Readonly<Record<string, string>>;
}

export interface NewGlusterVolume {
  readonly name: string;
  readonly layout: Layout;
  /** How many bricks hold one piece of data, arbiters among them; 1: none is replicated. */
  readonly replicas: number;
  /** How many of these are arbiters: 0 or 1. */
  readonly arbiters: number;
  /** ADDRESS:PATH, replica set by replica set; arbiters last in their set. */
  readonly bricks: readonly string[];
}

export interface GlusterBrickStatus {
  readonly name: string;
  readonly online: boolean;
  readonly pid: number | null;
  readonly fill: Fill | null;
}

/** The command `gluster --mode=script --xml`, one call at a time, tried again while another transaction runs. */
export interface GlusterCluster {
  peers(): Promise<readonly GlusterPeer[]>;
  /** Addresses of full members but this node, as glusterd has written them down: whether they answer it does not say. */
  members(): Promise<readonly string[]>;
  /** May be repeated. */
  probe(address: Ipv4): Promise<void>;
  /** Of one that has no brick. May be repeated. */
  detach(address: Ipv4): Promise<void>;
  /** As glusterd has written them down. */
  volumes(): Promise<readonly GlusterVolume[]>;
  /** @throws SluiceError `already_exists`, `storage_failed` with Gluster's own words */
  create(volume: NewGlusterVolume, options: Readonly<Record<string, string>>): Promise<void>;
  start(name: string): Promise<void>;
  /** Of a volume that has started: the processes of its bricks that have ended. */
  revive(name: string): Promise<void>;
  stop(name: string): Promise<void>;
  delete(name: string): Promise<void>;
  /** ADDRESS:PATH takes the place of a brick that has copies, begins empty, and is healed. The old one need not be there. */
  replace(name: string, from: string, to: string): Promise<void>;
  /** In one transaction. */
  set(name: string, options: Readonly<Record<string, string>>): Promise<void>;
  /** Takes locks that orders wait for: not for everyday use. */
  status(name: string): Promise<readonly GlusterBrickStatus[]>;
  /** Asks for what is pending to be healed now. */
  heal(name: string): Promise<void>;
  healInfo(name: string): Promise<{ readonly pending: number; readonly splitBrain: number }>;
}

/** A brick of this node. */
export interface WantedBrick {
  readonly volume: VolumeId;
  readonly index: number;
  /** What can be written to it. */
  readonly bytes: number;
  readonly inodes: number | null;
  readonly thin: boolean;
}

export interface HeldBrick extends WantedBrick {
  /** What Gluster is told: a directory inside the daemon's namespace. */
  readonly path: string;
  readonly mounted: boolean;
  readonly fill: Fill | null;
  /** What its disk says, or that it says nothing, when it does not work any more. */
  readonly broken?: string;
}

/** Images of file systems in the pool, one for each brick: what is full is full. */
export interface BrickKeeper {
  /** Asked every second, it also looks after disks, and sees to it that thin bricks take no more than the pool has. */
  held(): Promise<readonly HeldBrick[]>;
  /**
   * Makes it, or grows it to what is wanted, and mounts it. May be repeated; what was half-made is made anew.
   * @throws SluiceError `refused` (it would shrink; the pool has no room), `storage_failed`
   */
  ensure(brick: WantedBrick): Promise<HeldBrick>;
  /** With its data. May be repeated. */
  remove(volume: VolumeId, index: number): Promise<void>;
  pool(): Promise<Pool>;
}

/** Buckets that several mounts of a node draw from together, besides their own. */
export interface SharedBuckets {
  /** All mounts of a volume on this node, and all mounts of a tenant on this node. Fields `volume.*`. */
  set(owner: { readonly volume: VolumeId } | { readonly tenant: TenantName }, limits: Limits): Promise<void>;
  held(owner: { readonly volume: VolumeId } | { readonly tenant: TenantName }): Limits;
}

export interface MountWish extends MountRequest {
  readonly tenant: TenantName;
  readonly sizeBytes: number;
  /** What holds from the first operation. */
  readonly effective: Limits;
}

export interface Mount extends MountWish {
  readonly id: MountId;
  /** For the runtime to bind with propagation `rslave`. */
  readonly hostPath: string;
  readonly state: 'mounted' | 'broken';
  readonly replaced: number;
}

/** One Gluster client for each container and volume, watched, and replaced in place when it dies. */
export interface MountKeeper {
  /** May be repeated; other directories of the same container and volume share the client. @throws SluiceError */
  mount(wish: MountWish): Promise<Mount>;
  /** May be repeated. */
  unmount(id: MountId): Promise<void>;
  mounts(): readonly Mount[];
  /** Live, read back. @returns what could not be had: field and why */
  setLimits(
    id: MountId,
    limits: Limits,
  ): Promise<readonly { readonly field: LimitField; readonly why: string }[]>;
  /** From the client. @throws SluiceError `not_found`, `storage_failed` while the client is dead */
  statistics(id: MountId): Promise<MountStatistics>;
  /** Whether a container still lives is asked of the caller. Ends the mounts of those that do not. */
  keepOnly(isAlive: (mount: Mount) => boolean): Promise<void>;
  close(): Promise<void>;
}
