/**
 * How large the image of a brick is made, so that exactly what is wanted can be written to it; how many files it may
 * hold; and whether a pool has room for it. Pure.
 *
 * The figures are those of XFS with blocks of 4 KiB, 64 MiB of log, and neither free-inode index nor reflink nor
 * reverse mapping: each of these would keep back room that depends on the size. docs/bricks.md has the measurement.
 */
import { replicaSetsOf, type Volume } from './volume.ts';
import type { Pool } from './volume-report.ts';

export const BLOCK_BYTES = 4_096;
/** mkfs.xfs makes it larger for larger file systems, unless told. */
export const LOG_BLOCKS = (64 * 2 ** 20) / BLOCK_BYTES;
/** Below 300 MB mkfs.xfs refuses (since 5.19). */
const LEAST_IMAGE_BLOCKS = (300 * 2 ** 20) / BLOCK_BYTES;
/** What is held back for changes of the file system's own when it is full: xfs_default_resblks (fs/xfs/xfs_mount.c). */
const MOST_HELD_BACK = 8_192;
const HELD_BACK_SHARE = 20;
/** Headers, roots and free lists of an allocation group; and the first directory of the file system. Measured. */
const BLOCKS_PER_GROUP = 15;
const BLOCKS_ONCE = 8;
/** As mkfs.xfs does it: enough to work side by side, few enough to leave room to grow. */
const FIRST_GROUPS = 4;
/** XFS_MAX_AG_BYTES is 1 TiB (libxfs, xfs_fs.h). */
const MOST_GROUP_BLOCKS = 2 ** 40 / BLOCK_BYTES - 1;
/** A last group smaller than this is left unused when the file system grows (XFS_MIN_AG_BLOCKS). */
const LEAST_GROUP_BLOCKS = 64;
/** A file has an inode of 512 bytes; they come in pieces of 64. */
const INODES_PER_BLOCK = 8;
const BLOCKS_PER_PIECE = 8;
/** The file system's own, and its first directories. */
const INODES_ONCE = 16;

/** What a brick must be able to hold. */
export interface BrickNeed {
  /** Of data. */
  readonly bytes: number;
  /** Files and directories; null: as many as is usual for that many bytes. */
  readonly inodes: number | null;
}

/** What mkfs.xfs and xfs_growfs are told. */
export interface BrickShape {
  readonly imageBytes: number;
  /** Set once, when the file system is made. */
  readonly groupBlocks: number;
  /** What part of the file system may become inodes: 1 to 100. The limit of files is this, in steps of one per cent. */
  readonly inodePercent: number;
}

/** One file for so many bytes, where nothing else is said; what mke2fs assumes, too. */
const BYTES_PER_INODE = 16_384;

/** @param groupBlocks  of the file system that is there; leave it out for a new one */
export function shapeOf(need: BrickNeed, groupBlocks?: number): BrickShape {
  const blocks = groupBlocks === undefined ? newBlocks(need.bytes) : grownBlocks(need.bytes, groupBlocks);
  return {
    imageBytes: blocks * BLOCK_BYTES,
    groupBlocks: groupBlocks ?? firstGroupBlocks(blocks),
    inodePercent: inodePercentOf(blocks, (need.inodes ?? need.bytes / BYTES_PER_INODE) + INODES_ONCE),
  };
}

/** What can be written to a file system of that shape while it is empty. */
export function roomIn({ imageBytes, groupBlocks }: Pick<BrickShape, 'imageBytes' | 'groupBlocks'>): number {
  const blocks = imageBytes / BLOCK_BYTES;
  return (blocks - overheadOf(blocks, Math.ceil(blocks / groupBlocks))) * BLOCK_BYTES;
}

/**
 * How many files and directories it holds at most: as xfs_ialloc_setup_geometry has it. Each processor counts for itself
 * up to 128 (XFS_ICOUNT_BATCH), so it may become so many more for each.
 */
export function inodesIn({
  imageBytes,
  inodePercent,
}: Pick<BrickShape, 'imageBytes' | 'inodePercent'>): number {
  return inodesAt(imageBytes / BLOCK_BYTES, inodePercent);
}

/** Blocks that a file system of that many keeps back when it is mounted. One that grows goes on with what it had. */
export function heldBackBlocks(blocks: number): number {
  return Math.min(Math.floor(blocks / HELD_BACK_SHARE), MOST_HELD_BACK);
}

/**
 * Of what was wanted, what data never gets (RESERVE of storaged/translator/room.c): to remove a file Gluster must first
 * write down that it will, and a disk without a free block could never be emptied.
 */
export const SPARE_BYTES = 1_024 * BLOCK_BYTES;

function overheadOf(blocks: number, groups: number): number {
  return LOG_BLOCKS + heldBackBlocks(blocks) + BLOCKS_ONCE + BLOCKS_PER_GROUP * groups;
}

const firstGroupBlocks = (blocks: number): number =>
  Math.min(Math.ceil(blocks / FIRST_GROUPS), MOST_GROUP_BLOCKS);

function newBlocks(bytes: number): number {
  return leastBlocks(bytes, (all) => Math.ceil(all / firstGroupBlocks(all)));
}

function grownBlocks(bytes: number, groupBlocks: number): number {
  const blocks = leastBlocks(bytes, (all) => Math.ceil(all / groupBlocks));
  const rest = blocks % groupBlocks;
  return rest > 0 && rest < LEAST_GROUP_BLOCKS ? blocks - rest + LEAST_GROUP_BLOCKS : blocks;
}

/** The overhead depends on the sum, so it is approached from below. */
function leastBlocks(bytes: number, groupsOf: (blocks: number) => number): number {
  const wanted = Math.ceil(bytes / BLOCK_BYTES);
  let blocks = wanted;
  for (;;) {
    const enough = wanted + overheadOf(blocks, groupsOf(blocks));
    if (enough <= blocks) return Math.max(blocks, LEAST_IMAGE_BLOCKS);
    blocks = enough;
  }
}

function inodePercentOf(blocks: number, inodes: number): number {
  const guess = Math.ceil((100 * inodes) / INODES_PER_BLOCK / blocks);
  const percent = Math.min(Math.max(guess, 1), 100);
  // Pieces are whole: the last inodes of a per cent may not be there.
  return percent < 100 && inodesAt(blocks, percent) < inodes ? percent + 1 : percent;
}

function inodesAt(blocks: number, percent: number): number {
  const pieces = Math.floor(Math.floor((blocks * percent) / 100) / BLOCKS_PER_PIECE);
  return pieces * BLOCKS_PER_PIECE * INODES_PER_BLOCK;
}

/** Directories in which Gluster lists every file of a brick by number: 256 times 256, made as they are needed. */
const MOST_INDEX_DIRECTORIES = 65_536;
/** What Gluster makes in an empty brick, with room to spare. */
const GLUSTERS_OWN_FILES = 1_024;
/** The smallest piece into which large files are cut. */
const SHARD_BYTES = 4 * 2 ** 20;
/** An inode, its name, its name in Gluster's index. */
const ARBITER_BYTES_PER_FILE = 1_024;

/**
 * How many inodes each brick of a volume needs, its arbiters like the others: they hold every name. Files spread over
 * replica sets; besides the tenant's there are Gluster's index and the pieces of large files.
 */
export function brickInodes({
  inodes,
  dataBytes,
  sets,
}: {
  inodes: number | null;
  dataBytes: number;
  sets: number;
}): number {
  const files = Math.ceil(inodes === null ? dataBytes / BYTES_PER_INODE : inodes / sets);
  const pieces = Math.ceil(dataBytes / SHARD_BYTES);
  return files + pieces + Math.min(files + pieces, MOST_INDEX_DIRECTORIES) + GLUSTERS_OWN_FILES;
}

/** What an arbiter must be able to hold beside data bricks of that size: `Brick.bytes` of an arbiter. */
export function arbiterBytes(shape: { inodes: number | null; dataBytes: number; sets: number }): number {
  const inodes = brickInodes(shape);
  const index = Math.min(inodes, MOST_INDEX_DIRECTORIES) * BLOCK_BYTES;
  return inodes * ARBITER_BYTES_PER_FILE + index;
}

/** What its node has to keep of a volume's brick. */
export function brickNeed(
  volume: Pick<Volume, 'bricks' | 'layout' | 'inodes' | 'thin'>,
  index: number,
): BrickNeed & { readonly thin: boolean } {
  const dataBytes = Math.max(
    ...volume.bricks.filter(({ role }) => role === 'data').map(({ bytes }) => bytes),
  );
  const sets = replicaSetsOf(volume).length;
  const inodes = brickInodes({ inodes: volume.inodes, dataBytes, sets });
  return { bytes: volume.bricks[index]?.bytes ?? dataBytes, inodes, thin: volume.thin };
}

/** A new image, or what is added to one. */
export interface PoolDemand {
  readonly bytes: number;
  readonly thin: boolean;
}

/** Of a thin image, what is written at once and soon: the log, and the beginnings of each group. */
export const THIN_START_BYTES = LOG_BLOCKS * BLOCK_BYTES;

/**
 * Room that is reserved must be there now. Room that is promised may be `overcommit` times what there is, reserved or
 * not: who reserves takes it from those who were only promised it.
 * @returns why the pool cannot take it, with figures; undefined when it can
 */
export function poolRefusal(pool: Pool, { bytes, thin }: PoolDemand, overcommit: number): string | undefined {
  const now = Math.min(bytes, thin ? THIN_START_BYTES : bytes);
  if (now > pool.freeBytes)
    return `the pool has ${mebibytes(pool.freeBytes)} free, and ${mebibytes(now)} are needed at once`;
  const limit = Math.floor(pool.totalBytes * overcommit);
  if (pool.promisedBytes + bytes <= limit) return undefined;
  const may = `may promise ${mebibytes(limit)}`;
  return `the pool ${may}, has promised ${mebibytes(pool.promisedBytes)}, and ${mebibytes(bytes)} are asked for`;
}

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;
