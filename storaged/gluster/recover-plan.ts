/**
 * How the files of a volume are put together from its bricks alone. AFR notes on each copy what others still lack
 * (`trusted.afr.VOLUME-client-N`: three counters for data, metadata, entries); shards lie apart from their file. What
 * these notes do not decide is not decided here either: it is named. Pure.
 */
import { hasQuorum } from './quorum.ts';

/** What one brick holds under one name. */
export interface Entry {
  /** Relative to the brick, without a slash at its beginning. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'link' | 'other';
  readonly bytes: number;
  /** trusted.gfid, in hexadecimal digits: the same for all copies of one file. */
  readonly gfid: string;
  /** By the number of the accused brick. */
  readonly accuses: ReadonlyMap<number, Accusation>;
  /** Writing to its data had begun, and nothing was noted of its end: who missed it is not known yet. */
  readonly dirty: boolean;
  /** Where DHT keeps a name of a file that lies elsewhere. */
  readonly pointer: boolean;
  /** Of a file that is spread: bytes of a shard, and of the whole. */
  readonly sharding: { readonly block: number; readonly total: number } | null;
}

export interface Accusation {
  readonly data: boolean;
  readonly metadata: boolean;
  readonly entry: boolean;
}

export interface BrickCopy {
  /** Its number in Gluster's order. */
  readonly index: number;
  readonly arbiter: boolean;
  /** Its replica set, from 0. */
  readonly set: number;
  /** null: it is not at hand. */
  readonly entries: ReadonlyMap<string, Entry> | null;
}

/** A part of a file, and where it lies. */
export interface Piece {
  readonly brick: number;
  readonly path: string;
  /** Where it begins in the file. */
  readonly at: number;
  readonly bytes: number;
  /** Bricks whose copy nobody accuses either: it must be the same. */
  readonly also: readonly number[];
}

export type Restored =
  | { readonly kind: 'directory'; readonly path: string; readonly like: Piece }
  | { readonly kind: 'link'; readonly path: string; readonly like: Piece }
  | { readonly kind: 'same'; readonly path: string; readonly as: string }
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly like: Piece;
      readonly bytes: number;
      readonly pieces: readonly Piece[];
    };

export interface RecoveryPlan {
  /** Directories before what is in them. */
  readonly restored: readonly Restored[];
  /** What cannot be had without guessing: the path in the volume, and why. */
  readonly refused: readonly { readonly path: string; readonly why: string }[];
  /** Replica sets of which too few bricks are at hand to know that nothing newer is elsewhere. */
  readonly doubtfulSets: readonly number[];
  readonly notes: readonly string[];
}

interface Found {
  readonly brick: BrickCopy;
  readonly entry: Entry;
}

const SHARDS = '.shard';

/** Whether what has been acknowledged is certainly on one of those at hand: it took a quorum. */
export function isCertain(set: readonly BrickCopy[]): boolean {
  return hasQuorum(set.map(({ entries }) => entries !== null));
}

export function planRecovery(bricks: readonly BrickCopy[]): RecoveryPlan {
  const sets = [...Map.groupBy(bricks, ({ set }) => set).values()];
  const doubtfulSets = sets.flatMap((set) => (isCertain(set) ? [] : [set[0]?.set ?? 0]));
  const refused: { path: string; why: string }[] = [];
  const notes: string[] = [];
  const chosen = new Map<string, Choice>();
  for (const set of sets) {
    const decided = decideSet(set, notes);
    for (const [path, choice] of decided) {
      const before = chosen.get(path);
      chosen.set(path, before === undefined ? choice : together(path, before, choice));
    }
  }
  const restored: Restored[] = [];
  const byGfid = new Map<string, string>();
  const away = sets
    .filter((set) => set.every(({ entries }) => entries === null))
    .map((set) => set[0]?.set ?? 0);
  for (const set of away)
    refused.push({
      path: '',
      why: `no brick of set ${set} is at hand: what lies there is missing, even its names`,
    });
  for (const [path, choice] of [...chosen].sort(([one], [other]) => (one < other ? -1 : 1))) {
    if (path === SHARDS || path.startsWith(`${SHARDS}/`)) continue;
    const made = restore(path, choice, { chosen, byGfid, isWhole: away.length === 0 });
    if (typeof made === 'string') refused.push({ path, why: made });
    else restored.push(made);
  }
  return { restored, refused, doubtfulSets, notes };
}

type Choice =
  | { readonly found: Found; readonly also: readonly number[]; readonly total: number | null }
  | { readonly why: string };

/** A directory is on all sets; anything else on one. */
function together(path: string, one: Choice, other: Choice): Choice {
  if ('why' in one) return one;
  if ('why' in other) return other;
  const [{ entry: left }, { entry: right }] = [one.found, other.found];
  if (left.kind === 'directory' && right.kind === 'directory' && left.gfid === right.gfid) return one;
  return { why: `two replica sets hold different things called ${path}` };
}

function decideSet(set: readonly BrickCopy[], notes: string[]): ReadonlyMap<string, Choice> {
  const here = set.filter(({ entries }) => entries !== null);
  const names = new Set(here.flatMap(({ entries }) => [...(entries?.keys() ?? [])]));
  const choices = new Map<string, Choice>();
  for (const path of [...names].sort()) {
    const found = named(path, here, notes);
    if (!found.every(({ entry }) => entry.pointer))
      choices.set(
        path,
        choose(
          found.filter(({ entry }) => !entry.pointer),
          set,
        ),
      );
  }
  return choices;
}

function at(path: string, here: readonly BrickCopy[]): Found[] {
  return here.flatMap((brick): Found[] => {
    const entry = brick.entries?.get(path);
    return entry === undefined ? [] : [{ brick, entry }];
  });
}

/** What bears this name, by those copies of its directory that no other accuses; none where it was removed. */
function named(path: string, here: readonly BrickCopy[], notes: string[]): readonly Found[] {
  const found = at(path, here);
  if (path === '') return found;
  const directories = at(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '', here);
  const right = directories.filter(({ brick }) => !isAccused(brick, directories, 'entry'));
  if (right.length > 0 && right.length < directories.length) {
    const known = found.filter(({ brick }) => right.some((one) => one.brick === brick));
    // An old copy may hold old data of the same file, which that file's own notes tell; but not another file.
    return found.filter(({ entry }) => known.some((one) => one.entry.gfid === entry.gfid));
  }
  if (found.length < here.length)
    notes.push(`/${path}: not on all bricks of its set, and kept; it may have been removed`);
  return found;
}

function isAccused(brick: BrickCopy, by: readonly Found[], of: keyof Accusation): boolean {
  return by.some((one) => one.brick !== brick && one.entry.accuses.get(brick.index)?.[of] === true);
}

function choose(found: readonly Found[], set: readonly BrickCopy[]): Choice {
  const [first] = found;
  if (first === undefined) return { why: 'nobody has it' };
  if (found.some(({ entry }) => entry.gfid !== first.entry.gfid || entry.kind !== first.entry.kind))
    return { why: 'bricks hold different things under this name' };
  if (first.entry.kind !== 'file') return { found: first, also: [], total: null };
  const sized = sizeOf(found);
  if (typeof sized === 'string') return { why: sized };
  const copies = found.filter(({ brick }) => !brick.arbiter);
  if (copies.length === 0)
    return { why: 'only an arbiter is at hand, which knows its name and none of its data' };
  const right = copies.filter(({ brick }) => !isAccused(brick, found, 'data'));
  const [best] = right;
  if (best === undefined)
    return {
      why:
        copies.length === 1
          ? `the only copy at hand, on brick ${copies[0]?.brick.index}, lacks what ${accusers(found, copies)} knows of`
          : `all copies accuse each other (split brain): bricks ${copies.map(({ brick }) => brick.index).join(' and ')}`,
    };
  if (right.some(({ entry }) => entry.bytes !== best.entry.bytes))
    return { why: 'copies have different sizes, and none is said to be old' };
  const unseen = missed(best, found, set);
  if (unseen !== null) return { why: unseen };
  return { found: best, also: right.slice(1).map(({ brick }) => brick.index), total: sized };
}

/**
 * Writers do not wait for the note on a brick that was away when they began: AFR makes it up to a second after the last
 * write, and a shard's not even at fsync(2). Until then another brick being dirty, an arbiter mostly, is all that tells of
 * it. Copies at hand are compared; one that is not at hand may hold what none of these does.
 */
function missed(best: Found, found: readonly Found[], set: readonly BrickCopy[]): string | null {
  const witness = found.find(({ brick, entry }) => brick !== best.brick && entry.dirty);
  const other = set.find(
    (brick) => !(brick.arbiter || brick.entries !== null || isAccused(brick, found, 'data')),
  );
  return witness === undefined || other === undefined
    ? null
    : `brick ${witness.brick.index} saw writing begin whose end nobody noted: what brick ${other.index} holds, which is not at hand, may be newer`;
}

function accusers(found: readonly Found[], copies: readonly Found[]): string {
  const guilty = copies[0]?.brick;
  const who = found.filter(
    ({ brick, entry }) => brick !== guilty && guilty !== undefined && entry.accuses.get(guilty.index)?.data,
  );
  return `brick ${who.map(({ brick }) => brick.index).join(' and ')}`;
}

/** Of a file that is spread, as the copies have it that nobody accuses; null for others. */
function sizeOf(found: readonly Found[]): number | null | string {
  const spread = found.filter(({ entry }) => entry.sharding !== null);
  if (spread.length === 0) return null;
  const right = spread.filter(
    ({ brick }) => !(isAccused(brick, found, 'metadata') || isAccused(brick, found, 'data')),
  );
  const totals = new Set(right.map(({ entry }) => entry.sharding?.total ?? 0));
  const [total] = totals;
  if (total === undefined) return 'all copies accuse each other of an old size (split brain)';
  return totals.size > 1 ? 'copies have different sizes, and none is said to be old' : total;
}

interface Known {
  readonly chosen: ReadonlyMap<string, Choice>;
  /** Under which name a file was found first. */
  readonly byGfid: Map<string, string>;
  /** Whether of every set something is at hand. */
  readonly isWhole: boolean;
}

function restore(path: string, choice: Choice, known: Known): Restored | string {
  if ('why' in choice) return choice.why;
  const { entry, brick } = choice.found;
  const like: Piece = { brick: brick.index, path, at: 0, bytes: entry.bytes, also: [] };
  if (entry.kind === 'directory' || entry.kind === 'link') return { kind: entry.kind, path, like };
  if (entry.kind === 'other') return 'it is a device, a socket or a pipe';
  const earlier = known.byGfid.get(entry.gfid);
  if (earlier !== undefined) return { kind: 'same', path, as: earlier };
  const pieces = piecesOf(choice, known);
  if (typeof pieces === 'string') return pieces;
  known.byGfid.set(entry.gfid, path);
  return { kind: 'file', path, like, bytes: choice.total ?? entry.bytes, pieces };
}

/** The first shard lies under the file's own name, the others under .shard/GFID.N; one that is missing is a hole. */
function piecesOf(
  { found: { entry, brick }, also, total }: Exclude<Choice, { readonly why: string }>,
  { chosen, isWhole }: Known,
): readonly Piece[] | string {
  const first: Piece = { brick: brick.index, path: entry.path, at: 0, bytes: entry.bytes, also };
  if (total === null || entry.sharding === null) return [first];
  const { block } = entry.sharding;
  const pieces: Piece[] = [{ ...first, bytes: Math.min(entry.bytes, block, total) }];
  for (let n = 1; n * block < total; n++) {
    const path = `${SHARDS}/${dashed(entry.gfid)}.${n}`;
    const choice = chosen.get(path);
    if (choice === undefined && !isWhole) return `its part ${n} may lie on bricks that are not at hand`;
    if (choice === undefined) continue;
    if ('why' in choice) return `its part ${n}: ${choice.why}`;
    const bytes = Math.min(choice.found.entry.bytes, total - n * block);
    pieces.push({ brick: choice.found.brick.index, path, at: n * block, bytes, also: choice.also });
  }
  return pieces;
}

/** A gfid as shards are named by it (RFC 9562, 4). */
function dashed(gfid: string): string {
  return gfid.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
