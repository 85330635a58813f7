/** `sluice volume create`, `resize`, `limit` and `move`. */
import type { Argv } from 'yargs';
import type * as z from 'zod';
import { SluiceError } from '../../model/errors.ts';
import { Layout } from '../../model/volume.ts';
import type { LimitWish, ResizeWish, VolumeShown } from '../../model/volume-request.ts';
import { show } from '../output.ts';
import { pathTo, withServer } from './clients.ts';
import { type Changing, changing } from './options.ts';
import { findVolume, VOLUMES } from './volume-find.ts';
import type { NamedFlags, WhoseFlags } from './volume-show.ts';
import { limitsText, shownText, sizeText } from './volume-text.ts';
import { atFirst, untilReady, untilSettled, type WaitFlags, waitFlags } from './volume-wait.ts';
import { inodesOf, listOf, type Said, sizeOf, volumeLimits } from './volume-words.ts';

export interface CreateFlags extends Changing, WhoseFlags, WaitFlags {
  readonly name: string;
  readonly size: string;
  readonly inodes?: number | undefined;
  readonly layout?: Layout | undefined;
  readonly thin: boolean;
  readonly limit?: Said;
  readonly nodeLimit?: Said;
}

export function createFlags<T>(yargs: Argv<T>): Argv<T & CreateFlags> {
  return changing(waitFlags(yargs))
    .positional('name', { type: 'string', demandOption: true, describe: "a-z, 0-9 and '-', at most 63" })
    .option('size', SIZE)
    .option('inodes', { type: 'number', describe: 'How many files and directories it may hold' })
    .option('layout', {
      choices: Layout.options,
      describe: 'How its data lies (default: two-by-two where there are two storage nodes, else single)',
    })
    .option('thin', {
      type: 'boolean',
      default: false,
      describe: 'Take room in the pool as it fills, and not at once',
    })
    .option('limit', {
      type: 'string',
      describe: 'Of each mount: read=20MB/s, write=…, readOps=500, writeOps=…; may be said again',
    })
    .option('node-limit', {
      type: 'string',
      describe: 'Of all mounts of a node together; said like --limit',
    }) as unknown as Argv<T & CreateFlags>;
}

const SIZE = { type: 'string', demandOption: true, describe: 'Such as 10GiB or 500GB' } as const;

export async function create(flags: CreateFlags): Promise<void> {
  const { name, tenant, layout, thin, dryRun, json } = flags;
  const sizeBytes = sizeOf(flags.size);
  const inodes = inodesOf(flags.inodes);
  const body = {
    ...(tenant !== undefined && { tenant }),
    ...{ name, sizeBytes, thin },
    ...(inodes !== undefined && { inodes }),
    ...(layout !== undefined && { layout }),
    limits: volumeLimits(listOf(flags.limit)),
    nodeLimits: volumeLimits(listOf(flags.nodeLimit)),
  };
  const what = `create volume ${name} of ${sizeText(sizeBytes)}`;
  if (dryRun) return wouldDo(json, what, { method: 'POST', path: VOLUMES, body });
  await withServer(flags, async (client) => {
    const made = (await client.request('POST', `${VOLUMES}${atFirst(flags)}`, body)) as VolumeShown;
    const shown = flags.wait ? await untilReady(client, made, flags) : made;
    show(json, shown, () => shownText(shown));
  });
}

export interface ResizeFlags extends Changing, NamedFlags, WaitFlags {
  readonly size: string;
  readonly inodes?: number | undefined;
}

export function resizeFlags<T>(
  yargs: Argv<T>,
): Argv<T & { size: string; inodes: number | undefined } & WaitFlags> {
  return waitFlags(yargs)
    .option('size', { ...SIZE, describe: 'The new size; it may only grow' })
    .option('inodes', {
      type: 'number',
      describe: 'How many files and directories it may hold',
    }) as unknown as Argv<T & { size: string; inodes: number | undefined } & WaitFlags>;
}

export async function resize(flags: ResizeFlags): Promise<void> {
  const sizeBytes = sizeOf(flags.size);
  const inodes = inodesOf(flags.inodes);
  const body: z.input<typeof ResizeWish> = { sizeBytes, ...(inodes !== undefined && { inodes }) };
  await changeOf(flags, 'resize', 'POST', body, ({ volume }) => {
    const from = sizeText(volume.sizeBytes);
    return `grow volume ${volume.name} of tenant ${volume.tenant} from ${from} to ${sizeText(sizeBytes)}`;
  });
}

export interface LimitFlags extends Changing, NamedFlags, WaitFlags {
  readonly limits?: readonly string[] | undefined;
  readonly node: boolean;
}

export async function limit(flags: LimitFlags): Promise<void> {
  const limits = volumeLimits(flags.limits ?? []);
  if (Object.keys(limits).length === 0)
    throw new SluiceError(
      'invalid_request',
      'no limit is named',
      'say FIELD=VALUE: read=20MB/s writeOps=500, or read=unlimited',
    );
  const body: z.input<typeof LimitWish> = flags.node ? { nodeLimits: limits } : { limits };
  const whom = flags.node ? 'all mounts of a node together' : 'each mount';
  await changeOf(flags, 'limits', 'PUT', body, ({ volume }) => {
    return `hold ${whom} of volume ${volume.name} of tenant ${volume.tenant} to ${limitsText(limits)}`;
  });
}

export interface MoveFlags extends Changing, NamedFlags, WaitFlags {
  readonly from: string;
  readonly to?: string | undefined;
}

export function moveFlags<T>(yargs: Argv<T>): Argv<T & { from: string; to: string | undefined } & WaitFlags> {
  return waitFlags(yargs)
    .option('from', {
      type: 'string',
      demandOption: true,
      describe: 'The storage node whose bricks go elsewhere; it may be dead',
    })
    .option('to', {
      type: 'string',
      describe: 'The storage node where they go (default: where there is most room)',
    }) as unknown as Argv<T & { from: string; to: string | undefined } & WaitFlags>;
}

export async function move(flags: MoveFlags): Promise<void> {
  const { from, to } = flags;
  const body = { from, ...(to !== undefined && { to }) };
  await changeOf(flags, 'move', 'POST', body, ({ volume }) => {
    const where = to === undefined ? 'another storage node' : `node ${to}`;
    return `move the bricks of volume ${volume.name} of tenant ${volume.tenant} from node ${from} to ${where}`;
  });
}

/** Changes what is there, and waits until every node has done its part. */
async function changeOf(
  flags: Changing & NamedFlags & WaitFlags,
  verb: string,
  method: 'POST' | 'PUT',
  body: object,
  what: (present: VolumeShown) => string,
): Promise<void> {
  await withServer(flags, async (client) => {
    const present = await findVolume(client, flags.volume, flags.tenant);
    const path = pathTo(VOLUMES, present.volume.id, verb);
    if (flags.dryRun) return wouldDo(flags.json, what(present), { method, path, body });
    const changed = (await client.request(method, `${path}${atFirst(flags)}`, body)) as VolumeShown;
    const shown = flags.wait ? await untilSettled(client, changed, flags) : changed;
    show(flags.json, shown, () => shownText(shown));
  });
}

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
}

/** What --dry-run says. */
export function wouldDo(json: boolean | undefined, what: string, request: Request): void {
  show(json, { dryRun: true, would: what, request }, () => `would ${what}`);
}
