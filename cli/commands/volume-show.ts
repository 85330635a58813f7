/** `sluice volume list`, `show` and `stats`. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../../linux/api-client.ts';
import type { VolumeShown } from '../../model/volume-request.ts';
import { show, terminal } from '../output.ts';
import { listAll, type ServerFlags, withServer } from './clients.ts';
import { untilInterrupted } from './interrupt.ts';
import type { Common } from './options.ts';
import { findVolume, showVolume, VOLUMES } from './volume-find.ts';
import { areComplete, linesOf, type MountLine, type Tracks, track } from './volume-rates.ts';
import { listText, shownText, statsText } from './volume-text.ts';

export interface WhoseFlags extends Common, ServerFlags {
  readonly tenant?: string | undefined;
}

export interface NamedFlags extends WhoseFlags {
  readonly volume: string;
}

export async function list(flags: WhoseFlags & { readonly all: boolean }): Promise<void> {
  const query = new URLSearchParams({
    ...(flags.tenant !== undefined && { tenant: flags.tenant }),
    ...(flags.all && { all: '1' }),
  });
  await withServer(flags, async (client) => {
    const volumes = await listAll<VolumeShown>(client, query.size === 0 ? VOLUMES : `${VOLUMES}?${query}`);
    show(flags.json, volumes, () => listText(volumes));
  });
}

export async function showOne(flags: NamedFlags): Promise<void> {
  await withServer(flags, async (client) => {
    const shown = await findVolume(client, flags.volume, flags.tenant);
    show(flags.json, shown, () => shownText(shown));
  });
}

/** Nodes report every second; what is new is shown within this time. */
const LOOK_EVERY_MS = 200;
/** For two reports of every node that is alive. */
const WAIT_MS = 2_500;

interface Look {
  readonly shown: VolumeShown;
  readonly tracks: Tracks;
}

/** What `stats --json` prints, and with --follow each second again. */
interface Stats {
  /** Unix ms. */
  readonly at: number;
  readonly volume: VolumeShown['volume'];
  readonly report: VolumeShown['report'];
  readonly mounts: readonly MountLine[];
}

export async function stats(flags: NamedFlags & { readonly follow: boolean }): Promise<void> {
  await withServer(flags, async (client) => {
    const { volume } = await findVolume(client, flags.volume, flags.tenant);
    if (flags.follow) return follow(client, volume.id, flags);
    const look = await twoReports(client, volume.id);
    show(flags.json, statsOf(look), () => textOf(look));
  });
}

async function lookAgain(client: ApiClient, id: string, tracks: Tracks): Promise<Look> {
  const shown = await showVolume(client, id);
  return { shown, tracks: track(tracks, shown.mounts, performance.now()) };
}

async function twoReports(client: ApiClient, id: string): Promise<Look> {
  const until = performance.now() + WAIT_MS;
  let look = await lookAgain(client, id, new Map());
  while (!areComplete(look.tracks) && performance.now() < until) {
    await sleep(LOOK_EVERY_MS);
    look = await lookAgain(client, id, look.tracks);
  }
  return look;
}

async function follow(client: ApiClient, id: string, { json }: Common): Promise<void> {
  const signal = untilInterrupted();
  let look: Look = await twoReports(client, id);
  let said: string | undefined;
  while (!signal.aborted) {
    const stats = statsOf(look);
    const isNew = json ? JSON.stringify(newsOf(stats)) : textOf(look);
    if (isNew !== said) tell(stats, isNew, json);
    said = isNew;
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    if (!signal.aborted) look = await lookAgain(client, id, look.tracks);
  }
}

/** Clears the screen (ECMA-48: CUP, ED), so that the table stands still. */
const HOME = '\u001b[H\u001b[J';

function tell(stats: Stats, text: string, json: boolean | undefined): void {
  if (json) show(true, stats, () => '');
  else if (process.stdout.isTTY) terminal.out(`${HOME}${text}\n`);
  else terminal.out(`${text}\n\n`);
}

/** What differs between two looks although nothing is new. */
function newsOf({ at: _at, mounts, ...rest }: Stats): unknown {
  return { ...rest, mounts: mounts.map(({ silentMs: _silentMs, ...mount }) => mount) };
}

function statsOf({ shown, tracks }: Look): Stats {
  const { volume, report } = shown;
  return { at: Date.now(), volume, report, mounts: linesOf(tracks, performance.now()) };
}

function textOf({ shown, tracks }: Look): string {
  return statsText(shown, linesOf(tracks, performance.now()));
}
