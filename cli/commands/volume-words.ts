/** What people say of volumes on the command line: sizes, limits, and how a number of files is written. */
import { SluiceError } from '../../model/errors.ts';
import { type LimitField, type LimitValue, VOLUME_FIELDS, type VolumeField } from '../../model/limits.ts';
import { parseLimit, readBytes } from '../../model/quantity.ts';
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
