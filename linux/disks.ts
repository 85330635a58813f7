/** Which disks a container's mounts lie on, as the kernel throttles them: whole disks, by their numbers. */
import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** What a file system may take to tell of one of its folders, before it is passed over. */
const ANSWER_MS = 1_000;
/** Folders in layers upon layers: nobody has more. */
const DEEPEST = 4;

interface Mount {
  readonly device: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly source: string;
  /** Of the file system, not of the mount. */
  readonly options: ReadonlyMap<string, string>;
}

/**
 * Whole disks below everything that these processes have mounted. A partition stands for its disk, because the kernel
 * throttles disks only; a loop device or a mapped one for itself; overlay for the disk of its upper folder; btrfs for
 * each of its devices.
 * @param pids  processes whose mounts differ; one of each namespace is looked at
 * @returns `major:minor`, sorted
 */
export async function disksOf(pids: readonly number[]): Promise<string[]> {
  const found = new Set<string>();
  for (const pid of onePerNamespace(pids)) {
    for (const mount of mountsOf(pid)) {
      for (const disk of await disksBelow(mount, 0)) found.add(disk);
    }
  }
  return [...found].sort();
}

function onePerNamespace(pids: readonly number[]): number[] {
  const seen = new Map<string, number>();
  for (const pid of pids) {
    const namespace = linkOf(`/proc/${pid}/ns/mnt`);
    if (namespace !== undefined && !seen.has(namespace)) seen.set(namespace, pid);
  }
  return [...seen.values()];
}

function mountsOf(pid: number | 'self'): Mount[] {
  try {
    return parseMounts(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'));
  } catch {
    return []; // it has ended
  }
}

/** proc_pid_mountinfo(5). */
export function parseMounts(mountinfo: string): Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [before = '', after] = line.split(' - ');
    if (after === undefined) return [];
    const [, , device = '', , mountPoint = ''] = before.split(' ');
    const [type = '', source = '', options = ''] = after.split(' ');
    const pairs = options.split(',').map((one) => {
      const [key = '', ...value] = one.split('=');
      return [key, unescapeOctal(value.join('='))] as const;
    });
    const mount = { device, mountPoint: unescapeOctal(mountPoint), source: unescapeOctal(source) };
    return [{ ...mount, type, options: new Map(pairs) }];
  });
}

/** The kernel writes blanks, commas and backslashes as \ooo. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

async function disksBelow(mount: Mount, depth: number): Promise<string[]> {
  if (!mount.device.startsWith('0:')) {
    const disk = wholeDisk(mount.device);
    return disk === undefined ? [] : [disk];
  }
  if (mount.type === 'btrfs') return btrfsDisks(mount.source);
  const upper = mount.type === 'overlay' ? mount.options.get('upperdir') : undefined;
  if (upper === undefined || depth === DEEPEST) return [];
  const device = await deviceOfFolder(upper);
  if (device === undefined) return [];
  if (!device.startsWith('0:')) return disksBelow({ ...mount, device }, depth + 1);
  // A device without a disk of its own: the mount that has it says what it is.
  const around = mountsOf('self').find((one) => one.device === device);
  return around === undefined ? [] : disksBelow(around, depth + 1);
}

/** Asked beside the event loop and not for long: the folder may lie on a file system that does not answer. */
async function deviceOfFolder(path: string): Promise<string | undefined> {
  const asked = stat(path).then(
    ({ dev }) => numbersOf(dev),
    () => undefined,
  );
  const stop = new AbortController();
  const late = sleep(ANSWER_MS, undefined, { signal: stop.signal, ref: false }).catch(() => undefined);
  try {
    return await Promise.race([asked, late]);
  } finally {
    stop.abort();
  }
}

/** As glibc takes a device number apart (gnu_dev_major and gnu_dev_minor, sys/sysmacros.h). */
export function numbersOf(device: number): string {
  const wide = BigInt(device);
  const major = ((wide >> 8n) & 0xfffn) | ((wide >> 32n) & 0xffff_f000n);
  const minor = (wide & 0xffn) | ((wide >> 12n) & 0xffff_ff00n);
  return `${major}:${minor}`;
}

/** @returns undefined for a device that the kernel does not know (any more) */
export function wholeDisk(device: string): string | undefined {
  const place = realPath(`/sys/dev/block/${device}`);
  if (place === undefined) return undefined;
  const isPartition = textIn(`${place}/partition`) !== undefined;
  return isPartition ? textIn(`${place}/../dev`) : textIn(`${place}/dev`);
}

/** All devices of the file system that has this one (/sys/fs/btrfs/UUID/devices). */
function btrfsDisks(source: string): string[] {
  const name = nameOfDevice(source);
  const systems =
    name === undefined ? [] : namesIn('/sys/fs/btrfs').map((one) => `/sys/fs/btrfs/${one}/devices`);
  const devices = systems.map(namesIn).find((names) => names.includes(name ?? '')) ?? [];
  return devices.flatMap((one) => wholeDisk(textIn(`/sys/class/block/${one}/dev`) ?? '') ?? []);
}

function nameOfDevice(source: string): string | undefined {
  try {
    const { rdev } = statSync(source);
    return realPath(`/sys/dev/block/${numbersOf(rdev)}`)
      ?.split('/')
      .at(-1);
  } catch {
    return undefined;
  }
}

/** Whether the disk's scheduler is bfq, the only one that heeds its weights. */
export function heedsBfq(disk: string): boolean {
  return /\[bfq\]/.test(textIn(`/sys/dev/block/${disk}/queue/scheduler`) ?? '');
}

/** Whether io.cost is on for the disk (kernel documentation, admin-guide/cgroup-v2: io.cost.qos in the root group). */
export function heedsCost(disk: string): boolean {
  const lines = textIn('/sys/fs/cgroup/io.cost.qos')?.split('\n') ?? [];
  return lines.some((line) => line.startsWith(`${disk} `) && line.includes('enable=1'));
}

function textIn(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
