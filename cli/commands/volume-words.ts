/** What people say of volumes on the command line: sizes, limits, and how a number of files is written. */
import { SluiceError } from '../../model/errors.ts';
import {
  type LimitField,
  type LimitValue,
  UNLIMITED,
  VOLUME_FIELDS,
  type VolumeField,
} from '../../model/limits.ts';
import type { VolumeQuota } from '../../model/plan.ts';
import { parseLimit, printLimit, readBytes } from '../../model/quantity.ts';
import { LEAST_VOLUME_BYTES, MOST_VOLUME_BYTES } from '../../model/volume-request.ts';

/** yargs makes a list of what is said several times. */
export type Said = string | readonly string[] | undefined;

export function listOf(said: Said): readonly string[] {
  if (said === undefined) return [];
  return typeof said === 'string' ? [said] : said;
}

/** @returns bytes @throws SluiceError `invalid_request` */
export function sizeOf(word: unknown): number {
  if (typeof word !== 'string')
    throw new SluiceError('invalid_request', '--size is said more than once', 'say it once: --size 10GiB');
  const reading = readBytes(word, { min: LEAST_VOLUME_BYTES, max: MOST_VOLUME_BYTES });
  if (reading.ok) return reading.value;
  throw new SluiceError('invalid_request', `--size: ${reading.problem}`, reading.hint);
}

/** @throws SluiceError `invalid_request` */
export function inodesOf(count: number | undefined): number | undefined {
  if (count === undefined) return undefined;
  if (Number.isSafeInteger(count) && count >= LEAST_INODES) return count;
  throw new SluiceError(
    'invalid_request',
    `--inodes is no whole number from ${LEAST_INODES} on`,
    'say how many files and directories it may hold: --inodes 1000000',
  );
}

const LEAST_INODES = 1_000;

/**
 * `read=20MB/s`, `writeOps=500`, `volume.read=unlimited`.
 * @returns fields `volume.*`; what is said later replaces what is said before
 * @throws SluiceError `invalid_request`
 */
export function volumeLimits(words: readonly string[]): Partial<Record<LimitField, LimitValue>> {
  return Object.fromEntries(
    words
      .flatMap((word) => word.split(','))
      .map((word) => {
        const equals = word.indexOf('=');
        if (equals < 1) throw new SluiceError('invalid_request', `${JSON.stringify(word)} is no limit`, HINT);
        const field = fieldOf(word.slice(0, equals));
        return [field, parseLimit(field, word.slice(equals + 1))];
      }),
  );
}

const PREFIX = 'volume.';
const HINT = 'say FIELD=VALUE: read=20MB/s, write=20MB/s, readOps=500, writeOps=500; unlimited is a value';

function fieldOf(name: string): VolumeField {
  const full = name.startsWith(PREFIX) ? name : `${PREFIX}${name}`;
  const field = VOLUME_FIELDS.find((one) => one === full);
  if (field !== undefined) return field;
  throw new SluiceError('invalid_request', `a volume has no limit ${JSON.stringify(name)}`, HINT);
}

/** As {@link volumeLimits} takes it. */
export function shortField(field: LimitField): string {
  return field.startsWith(PREFIX) ? field.slice(PREFIX.length) : field;
}

/** `unlimited` is a value of both; what is not said stays. @throws SluiceError `invalid_request` */
export function volumeQuota(
  before: VolumeQuota,
  {
    volumes,
    volumeBytes,
  }: { readonly volumes?: string | undefined; readonly volumeBytes?: string | undefined },
): VolumeQuota {
  return {
    count: volumes === undefined ? before.count : countOf(volumes),
    bytes: volumeBytes === undefined ? before.bytes : quotaBytesOf(volumeBytes),
  };
}

function countOf(word: unknown): number | null {
  if (word === UNLIMITED) return null;
  if (typeof word === 'string' && /^\d{1,6}$/.test(word)) return Number(word);
  throw new SluiceError(
    'invalid_request',
    '--volumes is no number of volumes',
    `say a whole number, or ${UNLIMITED}`,
  );
}

function quotaBytesOf(word: unknown): number | null {
  if (word === UNLIMITED) return null;
  const reading = readBytes(String(word), { min: 0, max: Number.MAX_SAFE_INTEGER });
  if (reading.ok) return reading.value;
  throw new SluiceError('invalid_request', `--volume-bytes: ${reading.problem}`, reading.hint);
}

export function quotaText({ count, bytes }: VolumeQuota): string {
  const many = count === null ? 'as many as there is room for' : String(count);
  return `${many}${bytes === null ? '' : `, ${printLimit('memory', bytes)} together`}`;
}
