/** Restores a volume's files from its bricks' directories, without glusterd: reads them, plans, and makes the files elsewhere. */
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isThere, namesIn } from '../../linux/directories.ts';
import {
  assembleFile,
  copyLink,
  hardLink,
  makeAlike,
  makeDirectory,
  makePrivate,
  type Part,
  type TreeEntry,
  walkTree,
} from '../../linux/recovered-files.ts';
import { SluiceError } from '../../model/errors.ts';
import {
  type Accusation,
  type BrickCopy,
  type Entry,
  type Piece,
  planRecovery,
  type RecoveryPlan,
  type Restored,
} from './recover-plan.ts';

export interface RecoveryBrick {
  readonly arbiter: boolean;
  /** Its replica set, from 0. */
  readonly set: number;
  /** Where its files lie; null: it is not at hand. Nothing is ever written there. */
  readonly directory: string | null;
}

export interface RecoveryRequest {
  /** What Gluster calls the volume. */
  readonly volume: string;
  /** In Gluster's order. No process of Gluster may use them meanwhile. */
  readonly bricks: readonly RecoveryBrick[];
  /** A directory that is empty or not there. */
  readonly into: string;
  /** Go on where newer data may be on bricks that are not at hand. */
  readonly acceptOld: boolean;
  /** Restore all that is certain, where some files are not. */
  readonly partly: boolean;
}

export interface Progress {
  readonly files: number;
  readonly bytes: number;
}

export interface RecoveryResult extends Progress {
  /** Not restored: they would have been a guess. */
  readonly refused: RecoveryPlan['refused'];
  readonly notes: readonly string[];
}

/** Gluster's own directories on a brick; shards are looked at. */
const INTERNAL = /^\.(?:glusterfs|trashcan)(?:\/|$)|^\.shard\/\.remove_me(?:\/|$)|^\.glusterfs-anonymous/;
/** So many entries are read before others get a turn. */
const AT_ONCE = 256;
const TELL_MS = 500;
/** How many names an error tells. */
const NAMED = 20;

/**
 * Tells how far it is now and then, and at the end what has become of it.
 * @throws SluiceError `refused` where bricks are missing or copies contradict each other, naming sets or files, and
 *   nothing is made; `conflict` when `into` holds something
 */
export async function* recovering(
  request: RecoveryRequest,
  signal?: AbortSignal,
): AsyncGenerator<Progress, RecoveryResult> {
  const { into, bricks, acceptOld, partly } = request;
  if (isThere(into) && namesIn(into).length > 0)
    throw new SluiceError('conflict', `${into} is not empty`, 'name a directory that is not there yet');
  const plan = planRecovery(await readBricks(request, signal));
  if (plan.doubtfulSets.length > 0 && !acceptOld) throw tooFew(plan, bricks);
  if (plan.refused.length > 0 && !partly) throw undecided(plan.refused);
  return yield* make(plan, request, signal);
}

export async function recoverVolume(request: RecoveryRequest): Promise<RecoveryResult> {
  const work = recovering(request);
  for (;;) {
    const { done, value } = await work.next();
    if (done) return value;
  }
}

async function readBricks(
  { volume, bricks }: RecoveryRequest,
  signal: AbortSignal | undefined,
): Promise<readonly BrickCopy[]> {
  const copies: BrickCopy[] = [];
  for (const [index, { arbiter, set, directory }] of bricks.entries()) {
    const entries = directory === null ? null : await readBrick(volume, directory, signal);
    copies.push({ index, arbiter, set, entries });
  }
  return copies;
}

async function readBrick(
  volume: string,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, Entry>> {
  const entries = new Map<string, Entry>();
  for (const found of walkTree(directory, (name) => INTERNAL.test(name))) {
    entries.set(found.path, entryOf(volume, found));
    if (entries.size % AT_ONCE !== 0) continue;
    signal?.throwIfAborted();
    await nextTurn();
  }
  return entries;
}

/** Attributes as AFR, DHT and shard write them: big-endian numbers. */
export function entryOf(volume: string, { path: name, kind, bytes, xattrs }: TreeEntry): Entry {
  const prefix = `trusted.afr.${volume}-client-`;
  const accuses = [...xattrs].flatMap(([attribute, value]): [number, Accusation][] =>
    attribute.startsWith(prefix) && value.length >= 12
      ? [
          [
            Number(attribute.slice(prefix.length)),
            {
              data: value.readUInt32BE(0) !== 0,
              metadata: value.readUInt32BE(4) !== 0,
              entry: value.readUInt32BE(8) !== 0,
            },
          ],
        ]
      : [],
  );
  return {
    ...{ path: name, kind, bytes, accuses: new Map(accuses) },
    dirty: isDirty(xattrs.get('trusted.afr.dirty')),
    gfid: xattrs.get('trusted.gfid')?.toString('hex') ?? '',
    pointer: xattrs.has('trusted.glusterfs.dht.linkto'),
    sharding: shardingOf(xattrs),
  };
}

function isDirty(value: Buffer | undefined): boolean {
  return value !== undefined && value.length >= 12 && value.readUInt32BE(0) !== 0;
}

function shardingOf(xattrs: TreeEntry['xattrs']): Entry['sharding'] {
  const block = xattrs.get('trusted.glusterfs.shard.block-size');
  const total = xattrs.get('trusted.glusterfs.shard.file-size');
  if (block === undefined || total === undefined || block.length < 8 || total.length < 8) return null;
  return { block: Number(block.readBigUInt64BE(0)), total: Number(total.readBigUInt64BE(0)) };
}

async function* make(
  plan: RecoveryPlan,
  { into, bricks }: RecoveryRequest,
  signal: AbortSignal | undefined,
): AsyncGenerator<Progress, RecoveryResult> {
  const sourceOf = (brick: number, name: string): string => path.join(bricks[brick]?.directory ?? '', name);
  const directories: (() => void)[] = [];
  const gone = new Set<string>();
  let [files, bytes, told] = [0, 0, performance.now()];
  // Programs that run with their owner's rights are harmless on a volume. Here they would not be, so nobody else gets in.
  makePrivate(into);
  for (const one of plan.restored) {
    signal?.throwIfAborted();
    const target = path.join(into, one.path);
    if (one.kind === 'directory') {
      if (one.path === '') continue;
      makeDirectory(target);
      // Last of all: what is made in a directory changes its times.
      directories.push(() => makeAlike(sourceOf(one.like.brick, one.path), target));
      continue;
    }
    if (one.kind === 'same' && gone.has(one.as)) gone.add(one.path);
    else if (await makeOne(one, target, into, sourceOf)) [files, bytes] = [files + 1, bytes + sizeOf(one)];
    else gone.add(one.path);
    if (performance.now() < told + TELL_MS) continue;
    told = performance.now();
    yield { files, bytes };
  }
  for (const finish of directories.reverse()) finish();
  const why = 'copies differ, and none is said to be old';
  const differing = [...gone].map((name) => ({ path: name, why }));
  return { files, bytes, refused: [...plan.refused, ...differing], notes: plan.notes };
}

const sizeOf = (one: Restored): number => (one.kind === 'file' ? one.bytes : 0);

async function makeOne(
  one: Exclude<Restored, { readonly kind: 'directory' }>,
  target: string,
  into: string,
  sourceOf: (brick: number, name: string) => string,
): Promise<boolean> {
  if (one.kind === 'same') {
    hardLink(path.join(into, one.as), target);
    return true;
  }
  const like = sourceOf(one.like.brick, one.path);
  if (one.kind === 'link') copyLink(like, target);
  else {
    const part = ({ brick, also, at, bytes, path: name }: Piece): Part => ({
      ...{ at, bytes, source: sourceOf(brick, name) },
      same: also.map((other) => sourceOf(other, name)),
    });
    if (!(await assembleFile(target, one.bytes, one.pieces.map(part)))) return false;
  }
  makeAlike(like, target);
  return true;
}

function tooFew({ doubtfulSets }: RecoveryPlan, bricks: readonly RecoveryBrick[]): SluiceError {
  const sets = doubtfulSets.map((set) => {
    const missing = bricks.flatMap((brick, index) =>
      brick.set === set && brick.directory === null ? [index] : [],
    );
    return `set ${set} lacks brick ${missing.join(' and ')}`;
  });
  return new SluiceError(
    'refused',
    `too few bricks are at hand to know that what they hold is not old: ${sets.join('; ')}`,
    'bring more of the bricks here; or accept what may be old (--accept-old)',
  );
}

function undecided(refused: RecoveryPlan['refused']): SluiceError {
  const some = refused.slice(0, NAMED).map(({ path: name, why }) => `/${name}: ${why}`);
  const more = refused.length > NAMED ? ` and ${refused.length - NAMED} more` : '';
  return new SluiceError(
    'refused',
    `what ${refused.length} files hold cannot be known: ${some.join('; ')}${more}`,
    'restore all others with --partly; look at these on the bricks yourself',
  );
}
