/**
 * What has to be mounted for a client that lives, told from what the kernel lists: at our own points, in containers, and
 * over whatever its predecessors have left. What is there already is no job.
 */
import { namespaceInode } from '../../linux/directories.ts';
import type { ClientPlace, LiveClient } from '../../linux/gluster-client.ts';
import { ensureSharedPoint, layersAt, uncover } from '../../linux/host-points.ts';
import { mountNamespaces, mountsOf } from '../../linux/mount-table.ts';
import { isAlive } from '../../linux/process.ts';
import type { VolumeErrand, VolumePart } from '../../linux/volume-errands.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import type { MountId, MountRequest } from '../../model/volume.ts';
import { findDeadCopies } from './copies.ts';
import { hostPathOf, type MountPlaces } from './names.ts';
import type { KeptMount } from './records.ts';

/** A client that lives, and where it is to be seen. */
export interface Serving {
  readonly places: MountPlaces;
  readonly place: ClientPlace;
  /** Where the whole volume is mounted for us alone. */
  readonly control: string;
  readonly live: LiveClient;
}

/** One mount as it is to be. */
export interface Wanted extends Pick<KeptMount, 'request' | 'startedAt'> {
  readonly id: MountId;
}

export interface Job {
  /** Whose it is; undefined: nobody's alone. */
  readonly mount?: MountId;
  readonly errand: VolumeErrand;
}

export interface Jobs {
  readonly jobs: readonly Job[];
  /** Mounts for which nothing can be done in their container, and why. */
  readonly refused: ReadonlyMap<MountId, SluiceError>;
}

/** So many dead ones lie below the live one at most. */
const DEEPEST = 8;

/** @param heal  also wherever else a predecessor's is mounted */
export async function jobsFor(serving: Serving, wanted: readonly Wanted[], heal: boolean): Promise<Jobs> {
  const dead = deadDevices(serving);
  const refused = new Map<MountId, SluiceError>();
  const jobs = controlJobs(serving);
  for (const one of wanted) {
    jobs.push(...hostJobs(serving, one));
    try {
      jobs.push(...containerJobs(serving, dead, one));
    } catch (error) {
      // One container that is gone must not keep the client from the others.
      refused.set(one.id, asSluiceError(error));
    }
  }
  if (heal && dead.size > 0) jobs.push(...(await copyJobs(serving, dead)));
  return { jobs, refused };
}

/** Devices of its predecessors that mounts of our own hold: no other file system can have their numbers. */
function deadDevices({ place: { source }, live: { device } }: Serving): Set<string> {
  const own = mountsOf('self').filter((one) => one.source === source && one.device !== device);
  return new Set(own.map((one) => one.device));
}

function controlJobs({ control, live }: Serving): Job[] {
  if (layersAt(control).at(-1)?.device === live.device) return [];
  ensureSharedPoint(control);
  return [
    { errand: { do: 'place', point: control, part: { directory: null, make: false, readOnly: false } } },
  ];
}

function hostJobs({ places, place, live }: Serving, { id, request }: Wanted): Job[] {
  const point = hostPathOf(places, id);
  ensureSharedPoint(point);
  const layers = layersAt(point).filter(({ source }) => source === place.source);
  if (layers.at(-1)?.device === live.device) return [];
  // Whoever has bound one of those that go now gets the live one as a copy.
  for (let depth = layers.length; depth >= DEEPEST; depth--) uncover(point);
  return [{ mount: id, errand: { do: 'place', point, part: partOf(request) } }];
}

function containerJobs(
  { place: { source }, live }: Serving,
  dead: ReadonlySet<string>,
  { id, request, startedAt }: Wanted,
): Job[] {
  const { into } = request;
  if (into === null) return [];
  const there = containerOf(into.pid, startedAt);
  const { directory } = into;
  const top = mountsOf(into.pid).findLast(({ point }) => point === directory);
  const isOurs = top?.source === source;
  if (isOurs && top.device === live.device) return [];
  const over = isOurs && dead.has(top.device) ? top.device : null;
  const jobs: Job[] = [];
  if (isOurs && over === null)
    jobs.push({ mount: id, errand: { do: 'remove', there, directory, source, removeDirectories: 0 } });
  const where = { there, directory, make: true, over, source };
  jobs.push({ mount: id, errand: { do: 'attach', part: partOf(request), ...where } });
  return jobs;
}

/** Containers that the runtime has given it privately, and those that we have mounted it in ourselves. */
async function copyJobs(serving: Serving, dead: ReadonlySet<string>): Promise<Job[]> {
  const { source } = serving.place;
  return (await copiesOf(serving, dead)).map((copy) => {
    const { pid, inode, point, device, readOnly, directory } = copy;
    const part = { directory, make: true, readOnly };
    const where = { there: { pid, inode }, directory: point, make: false, over: device, source };
    return { errand: { do: 'attach', part, ...where } };
  });
}

async function copiesOf(
  { places, place }: Serving,
  dead: ReadonlySet<string>,
): Promise<ReturnType<typeof findDeadCopies>> {
  const namespaces = (await mountNamespaces()).map(({ pid, inode }) => ({
    pid,
    inode,
    mounts: mountsOf(pid),
  }));
  return findDeadCopies(namespaces, place.source, dead, [places.hostDir, places.clientDir]);
}

/** Where in the machine a predecessor's mount is still the one that is seen. */
export async function deadCopies(serving: Serving): Promise<readonly string[]> {
  const dead = deadDevices(serving);
  if (dead.size === 0) return [];
  return (await copiesOf(serving, dead)).map(({ pid, point }) => `${point} of process ${pid}`);
}

/** Whether somebody who looks for a mount finds a dead one in its place. */
export function isDead({ places, place: { source }, live }: Serving, { id, request }: Wanted): boolean {
  const isOld = (top: { readonly source: string; readonly device: string } | undefined): boolean =>
    top?.source === source && top.device !== live.device;
  if (isOld(layersAt(hostPathOf(places, id)).at(-1))) return true;
  const { into } = request;
  if (into === null) return false;
  return isOld(mountsOf(into.pid).findLast(({ point }) => point === into.directory));
}

function partOf({ subDirectory, readOnly }: MountRequest): VolumePart {
  return { directory: subDirectory, make: true, readOnly };
}

/**
 * The mount namespace of a container, by one of its processes. Asked anew each time: numbers of processes are given
 * again, after a start of the machine the small ones first, and whoever has one then may be another tenant's.
 * @param startedAt  as `identify` told when the mount was asked for
 * @throws SluiceError `not_found`, `refused` when it has the machine's own mounts, `kernel_refused`
 */
export function containerOf(
  pid: number,
  startedAt: number | null,
): { readonly pid: number; readonly inode: number } {
  const inode = mountNamespaceOf(pid);
  // Looked at second: so the namespace is its own, and not a successor's.
  if (startedAt === null || !isAlive({ pid, startedAt })) throw gone(pid);
  if (inode === namespaceInode('/proc/self/ns/mnt')) throw ownNamespace(pid);
  return { pid, inode };
}

/**
 * The number of a process's mount namespace.
 * @param read  as `namespaceInode` does
 * @throws SluiceError `not_found`, `kernel_refused`
 */
export function mountNamespaceOf(pid: number, read: typeof namespaceInode = namespaceInode): number {
  let inode: number | undefined;
  try {
    inode = read(`/proc/${pid}/ns/mnt`);
  } catch (cause) {
    throw new SluiceError(
      'kernel_refused',
      `the namespaces of process ${pid} cannot be read: ${String(cause)}`,
      'name another process of the container; storaged needs root with CAP_SYS_PTRACE',
      { cause },
    );
  }
  if (inode !== undefined) return inode;
  throw gone(pid);
}

function gone(pid: number): SluiceError {
  return new SluiceError('not_found', `there is no process ${pid}`, 'name a process of the container');
}

function ownNamespace(pid: number): SluiceError {
  return new SluiceError(
    'refused',
    `process ${pid} has no mounts of its own: they are the machine's`,
    'name a process that runs inside the container',
  );
}
