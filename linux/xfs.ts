/** XFS: making it in a file, mounting it in another mount namespace, growing it, asking how full it is. */
import { SluiceError } from '../model/errors.ts';
import { parseMounts } from './disks.ts';
import { type Argv, run, runOk } from './process.ts';

/** How a program is run in the mount namespace that is meant. */
export type Inside = (argv: Argv) => Argv;

export interface XfsShape {
  readonly groupBlocks: number;
  readonly logBlocks: number;
  /** 1 to 100. */
  readonly inodePercent: number;
}

/**
 * Makes a file system in all of a file, without asking what is in it. Nothing is kept back whose size depends on the
 * file system's; sectors are of 4 KiB, as attachLoop (linux/loop.ts) makes them.
 * @throws SluiceError `program_failed`
 */
export async function makeXfs(
  file: string,
  { groupBlocks, logBlocks, inodePercent }: XfsShape,
): Promise<void> {
  await runOk([
    ...(['mkfs.xfs', '-q', '-f', '-K', '-b', 'size=4096', '-s', 'size=4096'] as const),
    ...['-m', 'crc=1,finobt=0,reflink=0,rmapbt=0', '-i', `size=512,maxpct=${inodePercent}`],
    // The log in the first group: the last may be too small for it.
    ...['-d', `agsize=${groupBlocks}b`, '-l', `size=${logBlocks}b,agnum=0`, file],
  ]);
}

/** Whether the kernel knows quotas of XFS; undefined until one was mounted. */
let knowsQuotas: boolean | undefined;

/**
 * How much a file that grows is given beyond its end. By default as much as it has: on a small disk that is a large part
 * of it, which nobody else can use, and which is gone at once.
 */
const AHEAD = 'allocsize=256k';

/**
 * Makes the mount point where it is missing. Quotas of projects are counted where the kernel can.
 * @param discard  whether what is freed is given back to the file below
 * @throws SluiceError `program_failed`
 */
export async function mountXfs(
  inside: Inside,
  device: string,
  point: string,
  { discard }: { readonly discard: boolean },
): Promise<void> {
  const options = `X-mount.mkdir=0700,noatime,nodev,nosuid,noexec,${AHEAD}${discard ? ',discard' : ''}`;
  const mount = (more: string): Argv =>
    inside(['mount', '-i', '-n', '-t', 'xfs', '-o', `${options}${more}`, device, point]);
  if (knowsQuotas !== false && (await run(mount(',prjquota'))).code === 0) {
    knowsQuotas = true;
    return;
  }
  await runOk(mount(''));
  // It was not for another reason that it failed.
  knowsQuotas ??= false;
}

/** @param lazily  also while somebody is in it: it ends when they are gone. One that is not mounted is no error */
export async function unmountInside(inside: Inside, point: string, lazily: boolean): Promise<void> {
  const flags = lazily ? ['-n', '-l'] : ['-n'];
  const { code, stderr } = await run(inside(['umount', ...flags, point]));
  if (code === 0 || /not mounted|no mount point|not found/.test(stderr)) return;
  throw new SluiceError(
    'kernel_refused',
    `cannot unmount ${point}: ${stderr.trim()}`,
    'see who uses it: fuser -vm',
  );
}

/** One that is not there, or not empty, is no error. */
export async function removeDirectoryInside(inside: Inside, directory: string): Promise<void> {
  await run(inside(['rmdir', directory]));
}

/** What is mounted of XFS. */
export interface XfsMount {
  readonly device: string;
  readonly point: string;
  /** Whether quotas of projects hold there. */
  readonly quota: boolean;
}

/** In the order in which they were mounted. */
export async function xfsMounts(inside: Inside): Promise<XfsMount[]> {
  return parseMounts(await runOk(inside(['cat', '/proc/self/mountinfo'])))
    .filter(({ type }) => type === 'xfs')
    .map(({ source, mountPoint, options }) => ({
      ...{ device: source, point: mountPoint, quota: options.has('prjquota') },
    }));
}

/** The only project of a file system that has one. */
const PROJECT = 1;

/**
 * A directory whose files all belong to a project, whether the kernel can count it or not: the next one may. It gets its
 * name when it is ready. @throws SluiceError `program_failed`
 */
export async function makeProjectDirectory(inside: Inside, directory: string): Promise<void> {
  const half = `${directory}.new`;
  await runOk(inside(['mkdir', '-p', '-m', '755', half]));
  await runOk(inside(['xfs_io', '-x', '-c', `chproj ${PROJECT}`, '-c', 'chattr +P', half]));
  await runOk(inside(['mv', '--no-target-directory', half, directory]));
}

/**
 * What the project may take; `df` of its directory shows it.
 * @param inodes  the directory itself not among them; null: no limit
 * @throws SluiceError `program_failed`
 */
export async function limitProject(
  inside: Inside,
  point: string,
  { bytes, inodes }: { readonly bytes: number; readonly inodes: number | null },
): Promise<void> {
  const files = inodes === null ? 0 : inodes + 1;
  const limit = `limit -p bsoft=0 bhard=${bytes} isoft=0 ihard=${files} ${PROJECT}`;
  await runOk(inside(['xfs_quota', '-x', '-c', limit, point]));
}

export interface XfsGeometry {
  readonly blocks: number;
  readonly inodePercent: number;
}

/** @throws SluiceError `program_failed` */
export async function xfsGeometry(inside: Inside, point: string): Promise<XfsGeometry> {
  const text = await runOk(inside(['xfs_growfs', '-n', point]));
  // The line of the data section, the first with a number of blocks.
  const found = /^data\s.*blocks=(\d+), imaxpct=(\d+)/m.exec(text);
  if (found === null)
    throw new SluiceError(
      'storage_failed',
      `xfs_growfs -n ${point} says nothing that we know`,
      'see its output',
    );
  return { blocks: Number(found[1]), inodePercent: Number(found[2]) };
}

/** While it is in use. @throws SluiceError `program_failed` */
export async function growXfs(
  inside: Inside,
  point: string,
  { blocks, inodePercent }: XfsGeometry,
): Promise<void> {
  await runOk(inside(['xfs_growfs', '-D', String(blocks), '-m', String(inodePercent), point]));
}

/**
 * How many blocks are kept for changes of the file system's own, until it is mounted again: others are told that it is
 * full. If there are fewer free, then those, and all that are freed from now on.
 * @throws SluiceError `program_failed`
 */
export async function holdBackXfs(inside: Inside, point: string, blocks: number): Promise<void> {
  await runOk(inside(['xfs_io', '-x', '-c', `resblks ${blocks}`, point]));
}

/**
 * Notes at a mount point how many bytes may be written below it, for who tells of its size (storaged/translator/room.c).
 * @throws SluiceError `program_failed`
 */
export async function noteSize(inside: Inside, point: string, bytes: number): Promise<void> {
  await runOk(inside(['setfattr', '-n', 'trusted.sluice.bytes', '-v', String(bytes), point]));
}

/** What a disk says that does not work any more, or XFS for it: EIO, EUCLEAN, EROFS, ENXIO, ENODEV. */
const BROKEN =
  /Input\/output error|Structure needs cleaning|Read-only file system|No such device(?: or address)?/;

/**
 * Reads the first block past all caches, which must be of XFS (its magic number: fs/xfs/libxfs/xfs_format.h), and writes to
 * the journal that the mount point was touched. Neither takes room. May never return when the disk hangs.
 * @returns what the disk said, if it does not work
 */
export async function checkXfs(
  inside: Inside,
  { device, point }: { readonly device: string; readonly point: string },
): Promise<string | undefined> {
  // Without the letters nobody has read anything, and that is no word about the disk.
  const script = `first=$(dd if="$1" bs=4096 count=1 iflag=direct status=none | od -A n -t x1 -N 4 | tr -d ' ')
    case "$first" in 58465342 | "") ;; *) echo "Structure needs cleaning" >&2 ;; esac
    touch -c -m "$2" && sync "$2"`;
  const { stderr } = await run(inside(['sh', '-c', script, 'sh', device, point]), {
    timeoutMs: LONGEST_CHECK_MS,
  });
  return BROKEN.exec(stderr)?.[0];
}

/** Whoever asks is less patient; a program that waits for a disk may not die even then. */
const LONGEST_CHECK_MS = 60_000;

/**
 * From now on every operation on it fails, without touching the disk, until it is mounted again. What was promised to be
 * on it is: its journal is replayed then. @throws SluiceError `program_failed`
 */
export async function shutXfs(inside: Inside, point: string): Promise<void> {
  await runOk(inside(['xfs_io', '-x', '-c', 'shutdown', point]));
}

/** Kills the brick processes whose files of process numbers bear such a name, as glusterd writes them. */
export async function killByPidFiles(inside: Inside, pattern: string): Promise<void> {
  const script = 'for file in /run/gluster/vols/*/$1; do [ ! -f "$file" ] || kill -9 "$(cat "$file")"; done';
  await run(inside(['sh', '-c', script, 'sh', pattern]));
}

export interface FileSystemFill {
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly totalInodes: number;
  readonly freeInodes: number;
}

/** So many paths fit into one command with room to spare. */
const AT_ONCE = 500;

/** How full the file systems at these paths are; a path that cannot be asked is left out. */
export async function fillsInside(
  inside: Inside,
  points: readonly string[],
): Promise<ReadonlyMap<string, FileSystemFill>> {
  const fills = new Map<string, FileSystemFill>();
  for (let at = 0; at < points.length; at += AT_ONCE) {
    const some = points.slice(at, at + AT_ONCE);
    const { stdout } = await run(inside(['stat', '-f', '-c', '%S %b %a %c %d %n', ...some]));
    for (const line of stdout.split('\n').filter((one) => one !== '')) {
      const [size = 0, blocks = 0, free = 0, inodes = 0, freeInodes = 0] = line.split(' ', 5).map(Number);
      fills.set(line.split(' ').slice(5).join(' '), {
        ...{ totalBytes: size * blocks, freeBytes: size * free },
        ...{ totalInodes: inodes, freeInodes },
      });
    }
  }
  return fills;
}
