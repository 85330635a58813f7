/** What is said to a client's translator: at its start on the command line, later by attributes of its mount's root. */
import { randomBytes } from 'node:crypto';
import { readTextIfThere, writeAtomically } from '../../linux/files.ts';
import type { ClientPlace } from '../../linux/gluster-client.ts';
import { SystemCallError } from '../../linux/libc.ts';
import { getXattr } from '../../linux/xattr.ts';
import { SluiceError } from '../../model/errors.ts';
import type { Limits } from '../../model/limits.ts';
import { MountStatistics } from '../../model/volume-report.ts';
import { BURST_MS, limitPairs, limitsText } from './limits-text.ts';

/** As the volume's description for clients calls it: the volume's name, then this. */
const TRANSLATOR = '*-sluice-io';
const LIMITS = 'trusted.sluice.io.limits';
const STATISTICS = 'trusted.sluice.io.statistics';
/** The client answers by itself, in microseconds. */
const ANSWERS_WITHIN_MS = 1_000;
const TOKEN_BYTES = 16;

/**
 * Makes the client a secret, by which it knows us from what runs in containers: they may have root's rights, too.
 * @param parents  files of the buckets that it shares with others
 * @returns options for its command line, on which the secret is not seen
 */
export function translatorOptions(place: ClientPlace, limits: Limits, parents: readonly string[]): string[] {
  writeAtomically(tokenFile(place), randomBytes(TOKEN_BYTES).toString('hex'));
  const pairs = [
    ...limitPairs(limits),
    `burst-ms=${BURST_MS}`,
    `token=${tokenFile(place)}`,
    ...(parents.length === 0 ? [] : [`parents=${parents.join(':')}`]),
  ];
  return pairs.map((pair) => `${TRANSLATOR}.${pair}`);
}

const tokenFile = ({ directory }: ClientPlace): string => `${directory}/token`;

function tokenOf(place: ClientPlace): string {
  return readTextIfThere(tokenFile(place))?.trim() ?? '';
}

/** What tells that a client has the translator, and that it is ours. */
export function statisticsAttribute(place: ClientPlace): string {
  return `${STATISTICS}.${tokenOf(place)}`;
}

/** @param root  where the client's file system is mounted. @throws SluiceError `storage_failed`, `limited` */
export async function readStatistics(place: ClientPlace, root: string): Promise<MountStatistics> {
  const text = await told(() => getXattr(root, statisticsAttribute(place), ANSWERS_WITHIN_MS));
  return MountStatistics.parse(JSON.parse(text));
}

/**
 * By asking for an attribute, not by setting one: to set it the kernel locks the root, and a container that waits for its
 * turn to make a file there holds that lock.
 * @throws SluiceError `storage_failed`, `limited`
 */
export async function writeLimits(place: ClientPlace, root: string, limits: Limits): Promise<void> {
  const name = `${LIMITS}.${tokenOf(place)}.${limitsText(limits)}`;
  await told(() => getXattr(root, name, ANSWERS_WITHIN_MS));
}

async function told<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    const errno = cause instanceof SystemCallError ? cause.errno : '';
    if (errno === 'EAGAIN')
      throw new SluiceError(
        'limited',
        'other clients do not answer, and hold the way to this one',
        'try again',
        {
          cause,
        },
      );
    throw new SluiceError(
      'storage_failed',
      `the volume's client does not answer: ${String(cause)}`,
      'one that is dead or hangs is replaced within seconds; try again',
      { cause },
    );
  }
}

/** Whether an error says that the client hangs: it was asked, and has not answered. */
export function saysItHangs(error: unknown): boolean {
  const cause = error instanceof SluiceError ? error.cause : undefined;
  return cause instanceof SystemCallError && cause.errno === 'ETIMEDOUT';
}

/** Whether an error says that nobody serves the mount any more (fuse(4): the connection is gone). */
export function saysItIsCut(error: unknown): boolean {
  const cause = error instanceof SluiceError ? error.cause : undefined;
  return cause instanceof SystemCallError && cause.errno === 'ENOTCONN';
}
