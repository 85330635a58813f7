/** Waiting until nodes have done what was asked of a volume; on a terminal it says how far they are. */
import type { Argv } from 'yargs';
import type { ApiClient } from '../../linux/api-client.ts';
import { SluiceError } from '../../model/errors.ts';
import type { VolumeShown } from '../../model/volume-request.ts';
import { terminal } from '../output.ts';
import { pathTo } from './clients.ts';
import type { Common } from './options.ts';
import { VOLUMES } from './volume-find.ts';
import { progressText, stateText } from './volume-text.ts';

export interface WaitFlags extends Common {
  readonly wait: boolean;
  /** Seconds. */
  readonly timeout: number;
}

export function waitFlags<T>(yargs: Argv<T>): Argv<T & WaitFlags> {
  return yargs
    .option('wait', {
      type: 'boolean',
      default: true,
      describe: 'Wait until nodes have done it; --no-wait only asks for it',
    })
    .option('timeout', {
      type: 'number',
      default: 60,
      describe: 'Seconds to wait at most',
    }) as unknown as Argv<T & WaitFlags>;
}

/**
 * The server is to answer a change when it is done, or could not be: then it says why. After this time it answers how
 * far it is. @returns a query
 */
export function atFirst({ wait }: WaitFlags): string {
  return wait ? `?waitMs=${FIRST_MS}` : '';
}

const FIRST_MS = 500;
/** The server answers as soon as it is done; so often people see how far it is. */
const LOOK_EVERY_MS = 250;

/** @throws SluiceError `storage_failed` when it could not be made, `not_ready` when it takes too long */
export function untilReady(client: ApiClient, made: VolumeShown, flags: WaitFlags): Promise<VolumeShown> {
  return until(client, made, flags, isMade);
}

/** @throws SluiceError `storage_failed` when the server took it back, `not_ready` when it takes too long */
export function untilSettled(
  client: ApiClient,
  changed: VolumeShown,
  flags: WaitFlags,
): Promise<VolumeShown> {
  const { sizeBytes } = changed.volume;
  return until(client, changed, flags, (shown) => {
    if (shown.volume.sizeBytes < sizeBytes) throw notGrown(shown);
    return shown.settled;
  });
}

/** @throws SluiceError `storage_failed` */
function isMade(shown: VolumeShown): boolean {
  if (shown.volume.phase === 'removing') throw notMade(shown);
  return shown.volume.phase === 'ready' && shown.settled;
}

function notMade(shown: VolumeShown): SluiceError {
  return failed(shown, 'made; nothing of it stays');
}

function notGrown(shown: VolumeShown): SluiceError {
  return failed(shown, 'grown, and is as it was');
}

function failed({ volume, report, bricks, warnings }: VolumeShown, what: string): SluiceError {
  const why = [
    ...bricks.flatMap(({ node, brick }) => (brick?.why == null ? [] : [`node ${node}: ${brick.why}`])),
    ...(report?.why == null ? [] : [report.why]),
  ];
  const reasons = why.length > 0 ? why : warnings;
  return new SluiceError(
    'storage_failed',
    [`volume ${volume.name} could not be ${what}`, ...reasons].join('\n'),
    'sluice doctor on the storage nodes says what is wrong there',
  );
}

async function until(
  client: ApiClient,
  first: VolumeShown,
  flags: WaitFlags,
  isDone: (shown: VolumeShown) => boolean,
): Promise<VolumeShown> {
  const end = performance.now() + flags.timeout * 1_000;
  const progress = progressLine(flags);
  let shown = first;
  try {
    while (!isDone(shown)) {
      progress.say(`volume ${shown.volume.name}: ${progressOf(shown)}`);
      if (performance.now() > end) throw tooLong(shown, flags.timeout);
      shown = await again(client, shown);
    }
    return shown;
  } finally {
    progress.clear();
  }
}

/** What could not be made may be gone before we look. */
async function again(client: ApiClient, shown: VolumeShown): Promise<VolumeShown> {
  try {
    const path = `${pathTo(VOLUMES, shown.volume.id)}?waitMs=${LOOK_EVERY_MS}`;
    return (await client.request('GET', path)) as VolumeShown;
  } catch (error) {
    if (error instanceof SluiceError && error.code === 'not_found') throw notMade(shown);
    throw error;
  }
}

function progressOf(shown: VolumeShown): string {
  const { volume, bricks } = shown;
  if (volume.phase === 'ready') return 'waiting for every node to do its part';
  const isThere = bricks.every(({ brick }) => brick?.state === 'ready');
  if (volume.phase === 'creating') return isThere ? 'Gluster puts the bricks together' : progressText(bricks);
  return stateText(shown);
}

function tooLong(shown: VolumeShown, seconds: number): SluiceError {
  const { name } = shown.volume;
  return new SluiceError(
    'not_ready',
    `after ${seconds} s not everything is done of volume ${name}: ${progressOf(shown)}`,
    `it goes on: sluice volume show ${name}`,
  );
}

interface ProgressLine {
  say(text: string): void;
  clear(): void;
}

/** A line of stderr that is written over and over; nothing where nobody watches. */
function progressLine({ json }: Common): ProgressLine {
  if (json || !process.stderr.isTTY) return { say: () => undefined, clear: () => undefined };
  let said = '';
  return {
    say: (text) => {
      if (text !== said) terminal.err(`${CLEAR_LINE}${text} …`);
      said = text;
    },
    clear: () => {
      if (said !== '') terminal.err(CLEAR_LINE);
    },
  };
}

/** ECMA-48: EL, from the first column. */
const CLEAR_LINE = '\r\u001b[2K';
