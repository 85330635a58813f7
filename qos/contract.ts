/**
 * What holds limits on a node: rates by tc, those of shared volumes by their clients, everything else by cgroups. The
 * keeper of limits knows them by this alone.
 */
import type { CgroupField, LimitValue, RateField } from '../model/limits.ts';
import type { Shortfall } from '../model/limits-report.ts';
import type { MountLimitsAnswer, NodeMounts, VolumeRates } from '../model/mount-limits.ts';
import type { ContainerId, IfName, TenantName } from '../model/names.ts';
import type { MountId } from '../model/volume.ts';

/** Bits a second; null: unlimited. From the container's point of view. */
export interface Rates {
  readonly in: number | null;
  readonly out: number | null;
}

export interface PortRates extends Rates {
  /** The host's end of the container's interface. */
  readonly hostIf: IfName;
  readonly side: 'external' | 'internal';
  readonly tenant: TenantName;
}

export interface TenantRates extends Rates {
  readonly tenant: TenantName;
  readonly side: 'external' | 'internal';
  /** Whether containers may use what their siblings leave, beyond their own rates, up to this. */
  readonly borrow: boolean;
}

/** Everything that is wanted on a node. A port that is not named is unlimited. */
export interface NodeRates {
  readonly ports: readonly PortRates[];
  readonly tenants: readonly TenantRates[];
}

export interface RateKeeper {
  /**
   * Brings the kernel to what is wanted, with as few messages as possible; nothing queued is lost.
   * @returns what could not be had, by port
   */
  apply(wanted: NodeRates): Promise<ReadonlyMap<IfName, readonly Shortfall[]>>;
  /** What the kernel holds, read from it and not from memory. */
  read(): Promise<NodeRates>;
  /** By port and direction: what was sent, dropped and held up. */
  statistics(): Promise<readonly RateStatistics[]>;
  close(): Promise<void>;
}

export interface RateStatistics {
  readonly hostIf: IfName;
  readonly field: RateField;
  readonly bytes: number;
  readonly packets: number;
  readonly dropped: number;
  /** How often a packet had to wait. */
  readonly overlimits: number;
  /** Bytes waiting now. */
  readonly backlog: number;
}

/** A container's group: its path in each hierarchy (v1), or in the only one (v2). */
export interface ContainerCgroup {
  readonly version: 1 | 2;
  /** From the hierarchy's root, such as /machine.slice/libpod-….scope; by controller, on v2 all the same. */
  readonly paths: ReadonlyMap<string, string>;
  /** Some process of the container, for /proc/PID/root and its mounts; undefined when none is left. */
  readonly pid: number | undefined;
}

/** What the runtime told us of a container, by which its group is found. */
export interface CgroupHints {
  readonly containerId: ContainerId;
  /** The CNI capability `cgroupPath`. */
  readonly cgroupPath: string | null;
  /** The inode of its network namespace. */
  readonly netnsInode: number;
}

export type CgroupLimits = Readonly<Partial<Record<CgroupField, LimitValue>>>;

export interface CgroupKeeper {
  readonly version: 1 | 2;
  /** @returns undefined as long as the runtime has not finished making it */
  find(hints: CgroupHints): Promise<ContainerCgroup | undefined>;
  /** What the kernel holds; a field that this kernel does not have is absent. */
  read(group: ContainerCgroup): Promise<CgroupLimits>;
  /**
   * Sets the named fields, reads each back, and leaves the others alone. Either all that the kernel can hold are set,
   * or, when it refuses one, what was written before is put back. Memory below what is in use is reclaimed first, and
   * goes as low as it can without killing, unless `mayKill`.
   * @throws SluiceError `kernel_refused` naming the file, after everything was put back; `not_found` when it is gone
   * @returns what could not be had
   */
  apply(
    group: ContainerCgroup,
    wanted: CgroupLimits,
    options: { readonly mayKill: boolean },
  ): Promise<readonly Shortfall[]>;
  statistics(group: ContainerCgroup): Promise<CgroupStatistics>;
}

export interface CgroupStatistics {
  readonly cpuSeconds: number;
  readonly throttledSeconds: number;
  readonly throttledPeriods: number;
  readonly memoryBytes: number;
  readonly oomKills: number;
  readonly pids: number;
  /** How often a fork was refused. */
  readonly pidsRefused: number;
  /** Requests that waited, where the kernel tells. */
  readonly blockWaits: number | null;
}

/** The clients of shared volumes on this node, through storaged. They hold what they hold also while it is away. */
export interface VolumeKeeper {
  /** What was told last; undefined: nothing yet. The same object as long as nothing new was told. */
  told(): NodeMounts | undefined;
  /** Whether storaged is there. */
  answers(): boolean;
  /** From every client, now. @throws SluiceError `unreachable` */
  read(): Promise<NodeMounts>;
  /**
   * All fields at once, under whatever is being read and written.
   * @throws SluiceError, after which the mount holds what it held: `not_found` when it is gone, `unreachable`,
   *   `storage_failed` while its client is dead
   */
  apply(mount: MountId, rates: VolumeRates): Promise<MountLimitsAnswer>;
  /** Of all mounts of a tenant on this node together. @throws SluiceError as above */
  applyShare(tenant: TenantName, rates: VolumeRates): Promise<MountLimitsAnswer>;
}
