/** Files of the buckets that Gluster clients share: fixed in their layout, because clients have them mapped (storaged/translator/shared-bucket.h). */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { writeAtomically } from './files.ts';

/** What has a rate and a state of its own, in the order of the file. */
export const BUCKETS = ['read-bytes', 'write-bytes', 'read-ops', 'write-ops'] as const;
export type Bucket = (typeof BUCKETS)[number];
/** Units a second; 0: without limit. */
export type BucketRates = Readonly<Record<Bucket, number>>;

const MAGIC = 'SLUICEIO';
const VERSION = 1;
const HEAD_BYTES = 16;
const BUCKET_BYTES = 16;
const FILE_BYTES = HEAD_BYTES + BUCKETS.length * BUCKET_BYTES;

/** One that is there and whole keeps its rates and what clients have written. May be repeated. */
export function ensureBucketFile(file: string, burstMs: number): void {
  if (isWhole(file)) return;
  const bytes = Buffer.alloc(FILE_BYTES);
  const head = new DataView(bytes.buffer, bytes.byteOffset, HEAD_BYTES);
  bytes.write(MAGIC, 'latin1');
  // Clients read it as numbers of the machine's own order, which is the little one wherever Node runs on Linux with Gluster.
  head.setUint32(8, VERSION, true);
  head.setUint32(12, burstMs, true);
  writeAtomically(file, bytes);
}

function isWhole(file: string): boolean {
  const bytes = readIfThere(file);
  return bytes?.toString('latin1', 0, MAGIC.length) === MAGIC && bytes.readUInt32LE(8) === VERSION;
}

/** @returns undefined when there is none, or it is too short */
function readIfThere(file: string): Buffer | undefined {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch {
    return undefined;
  }
  try {
    const bytes = Buffer.alloc(FILE_BYTES);
    return fstatSync(fd).size === FILE_BYTES && readSync(fd, bytes, 0, FILE_BYTES, 0) === FILE_BYTES
      ? bytes
      : undefined;
  } finally {
    closeSync(fd);
  }
}

/** In place: each rate is one word, and clients see it with their next request. */
export function writeBucketRates(file: string, rates: BucketRates): void {
  const fd = openSync(file, 'r+');
  try {
    for (const [index, name] of BUCKETS.entries()) {
      const word = Buffer.alloc(8);
      word.writeBigUInt64LE(BigInt(rates[name]));
      writeSync(fd, word, 0, word.length, HEAD_BYTES + index * BUCKET_BYTES);
    }
  } finally {
    closeSync(fd);
  }
}

/** @returns undefined when there is no such file */
export function readBucketRates(file: string): BucketRates | undefined {
  const bytes = readIfThere(file);
  if (bytes === undefined) return undefined;
  const rate = (index: number): number => Number(bytes.readBigUInt64LE(HEAD_BYTES + index * BUCKET_BYTES));
  const [read, write, readOps, writeOps] = BUCKETS.map((_, index) => rate(index)) as [
    number,
    number,
    number,
    number,
  ];
  return { 'read-bytes': read, 'write-bytes': write, 'read-ops': readOps, 'write-ops': writeOps };
}
