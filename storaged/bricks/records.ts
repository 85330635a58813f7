/**
 * What a pool keeps of its bricks:
 * ```
 * POOL/v0123456789ab-0/brick.json   what is wanted: written first, so that nothing is ever there that nobody knows
 *                      image.new    a file system that is being made
 *                      image        the file system, whole; it is never made anew
 *     /gone-v0123456789ab-0         being removed
 * ```
 */
import path from 'node:path';
import * as z from 'zod';
import { namesIn } from '../../linux/directories.ts';
import { readTextIfThere, writeAtomically } from '../../linux/files.ts';
import { imageAt } from '../../linux/images.ts';
import { SluiceError } from '../../model/errors.ts';
import { VolumeId } from '../../model/volume.ts';

export const BrickRecord = z.strictObject({
  volume: VolumeId,
  index: z.int().min(0),
  bytes: z.int().positive(),
  inodes: z.int().positive().nullable(),
  thin: z.boolean(),
  /** Of the file system as it was made: it cannot be changed. */
  groupBlocks: z.int().positive(),
});
export type BrickRecord = z.infer<typeof BrickRecord>;

/** Its directory in the pool, and its mount point's name. */
export const nameOf = ({ volume, index }: Pick<BrickRecord, 'volume' | 'index'>): string =>
  `${volume}-${index}`;

const NAME = /^v[0-9a-f]{12}-\d+$/;
const GONE = /^gone-v[0-9a-f]{12}-\d+$/;

/** Whether it is a name that `nameOf` makes. */
export const isBrickName = (name: string): boolean => NAME.test(name);

export interface BrickFiles {
  readonly directory: string;
  readonly record: string;
  readonly half: string;
  readonly image: string;
  /** Where the directory is moved to be removed. */
  readonly gone: string;
}

export function filesOf(pool: string, name: string): BrickFiles {
  const directory = path.join(pool, name);
  return {
    directory,
    record: path.join(directory, 'brick.json'),
    half: path.join(directory, 'image.new'),
    image: path.join(directory, 'image'),
    gone: path.join(pool, `gone-${name}`),
  };
}

/** What lies in a pool. */
export interface PoolContent {
  readonly records: Map<string, BrickRecord>;
  /** Directories of bricks that were never finished, or not wholly removed. */
  readonly rubbish: readonly string[];
}

/**
 * An image without a record is left where it is: somebody's data, and nobody's order to destroy it.
 * @throws SluiceError `store_failed` when a record is damaged
 */
export function readPool(pool: string): PoolContent {
  const records = new Map<string, BrickRecord>();
  const rubbish: string[] = [];
  for (const name of namesIn(pool)) {
    if (GONE.test(name)) rubbish.push(path.join(pool, name));
    if (!isBrickName(name)) continue;
    const files = filesOf(pool, name);
    const record = readRecord(files.record);
    if (record !== undefined) records.set(name, record);
    else if (imageAt(files.image) === undefined) rubbish.push(files.directory);
  }
  return { records, rubbish };
}

function readRecord(file: string): BrickRecord | undefined {
  const text = readTextIfThere(file);
  if (text === undefined) return undefined;
  try {
    return BrickRecord.parse(JSON.parse(text));
  } catch (cause) {
    const hint = 'restore it from a copy of the pool; its image beside it holds the data';
    throw new SluiceError('store_failed', `${file} does not describe a brick`, hint, { cause });
  }
}

export function writeRecord(pool: string, record: BrickRecord): void {
  writeAtomically(filesOf(pool, nameOf(record)).record, `${JSON.stringify(record)}\n`);
}
