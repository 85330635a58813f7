import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { makeScratchDirectory } from './directories.ts';
import { ensureBucketFile, readBucketRates, writeBucketRates } from './shared-bucket-file.ts';

let directory: string;
beforeEach(() => {
  directory = makeScratchDirectory('buckets');
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const RATES = { 'read-bytes': 2 ** 40, 'write-bytes': 64_000, 'read-ops': 0, 'write-ops': 5 };

it('has the layout that clients map', () => {
  const file = `${directory}/b`;
  ensureBucketFile(file, 100);
  writeBucketRates(file, RATES);
  const bytes = readFileSync(file);
  expect([bytes.length, bytes.toString('latin1', 0, 8)]).toEqual([80, 'SLUICEIO']);
  expect([bytes.readUInt32LE(8), bytes.readUInt32LE(12)]).toEqual([1, 100]);
  const words = [16, 24, 32, 40, 48, 56, 64, 72].map((at) => Number(bytes.readBigUInt64LE(at)));
  expect(words).toEqual([2 ** 40, 0, 64_000, 0, 0, 0, 5, 0]);
  expect(readBucketRates(file)).toEqual(RATES);
});

it('keeps what clients have written when rates change, and when it is asked for again', () => {
  const file = `${directory}/b`;
  ensureBucketFile(file, 100);
  const bytes = readFileSync(file);
  bytes.writeBigUInt64LE(77n, 24);
  writeFileSync(file, bytes);
  writeBucketRates(file, RATES);
  ensureBucketFile(file, 100);
  expect(readFileSync(file).readBigUInt64LE(24)).toBe(77n);
});

it('makes one anew that is cut short or of another kind', () => {
  const file = `${directory}/b`;
  for (const damaged of ['', 'SLUICEIO', 'x'.repeat(80)]) {
    writeFileSync(file, damaged);
    ensureBucketFile(file, 100);
    expect(readBucketRates(file)).toEqual({
      'read-bytes': 0,
      'write-bytes': 0,
      'read-ops': 0,
      'write-ops': 0,
    });
  }
});

it('has nothing to tell of one that is not there', () => {
  expect(readBucketRates(`${directory}/none`)).toBeUndefined();
});
