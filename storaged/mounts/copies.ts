/**
 * Where else in the machine a dead client's file system is mounted: in containers that were given it privately, so that
 * nothing reaches them by itself. Pure, from lists of mounts.
 */
import type { Mount } from '../../linux/mount-table.ts';

export interface NamespaceMounts {
  readonly pid: number;
  readonly inode: number;
  readonly mounts: readonly Mount[];
}

/** A mount that is to be covered by one of the client's successor. */
export interface DeadCopy {
  readonly pid: number;
  readonly inode: number;
  readonly point: string;
  readonly device: string;
  /** Which directory of the volume it shows; null: all of it. */
  readonly directory: string | null;
  readonly readOnly: boolean;
}

/**
 * @param devices  of dead clients, each held by a mount of our own: so no other file system can have its number
 * @param ours     below these directories nobody but us has something mounted
 */
export function findDeadCopies(
  namespaces: readonly NamespaceMounts[],
  source: string,
  devices: ReadonlySet<string>,
  ours: readonly string[],
): DeadCopy[] {
  return namespaces.flatMap(({ pid, inode, mounts }) => {
    const topmost = new Map(mounts.map((mount) => [mount.point, mount]));
    return [...topmost.values()]
      .filter((one) => one.source === source && devices.has(one.device))
      .filter(({ point }) => !ours.some((directory) => point.startsWith(`${directory}/`)))
      .map(({ point, device, root, readOnly }) => ({
        ...{ pid, inode, point, device, readOnly },
        directory: root === '/' ? null : root,
      }));
  });
}
