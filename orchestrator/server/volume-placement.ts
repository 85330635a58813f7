/** Where a volume's bricks go: which nodes, in Gluster's order, and how much each must hold. Pure and deterministic. */
import type { Ipv4 } from '../../model/addresses.ts';
import { arbiterBytes, brickInodes, shapeOf as shapeOfImage } from '../../model/brick-size.ts';
import type { NodeName } from '../../model/names.ts';
import type { Brick, Layout } from '../../model/volume.ts';

/** A storage node as a place for bricks. */
export interface Place {
  readonly node: NodeName;
  readonly address: Ipv4;
  readonly zone: string | null;
  /** What it may still promise, bytes. */
  readonly room: number;
}

export interface PlacementWish {
  readonly layout: Layout;
  readonly sizeBytes: number;
  readonly inodes: number | null;
}

export type Placement =
  | { readonly ok: true; readonly bricks: readonly Brick[] }
  /** `rooms` is for operators: how full the pools are is no tenant's business. */
  | { readonly ok: false; readonly why: string; readonly rooms: string };

/** Sizes of bricks are whole, for people's sake. */
const MIB = 2 ** 20;

export interface Shape {
  /** Sets of bricks that hold the same; a file lies in one of them, its shards in all. */
  readonly sets: number;
  readonly copies: number;
  readonly arbiter: boolean;
}

/** @param places  how many storage nodes there are: a two-by-two gets arbiters where there is a third */
export function shapeOf(layout: Layout, places: number): Shape {
  switch (layout) {
    case 'single':
      return { sets: 1, copies: 1, arbiter: false };
    case 'two-by-two':
      return { sets: 2, copies: 2, arbiter: places >= 3 };
    case 'replica-3':
      return { sets: 1, copies: 3, arbiter: false };
    case 'arbiter':
      return { sets: 1, copies: 2, arbiter: true };
  }
}

export function defaultLayout(places: number): Layout {
  return places >= 2 ? 'two-by-two' : 'single';
}

/** How much each brick must hold. */
export function brickBytes(
  sets: number,
  { sizeBytes, inodes }: Pick<PlacementWish, 'sizeBytes' | 'inodes'>,
): Readonly<Record<Brick['role'], number>> {
  const data = Math.ceil(sizeBytes / sets / MIB) * MIB;
  return { data, arbiter: Math.min(data, arbiterBytes({ inodes, dataBytes: data, sets })) };
}

/**
 * No two bricks of a set go to one node, and where it can be had they stand in different zones; then, who has most room
 * comes first.
 */
export function placeBricks(wish: PlacementWish, places: readonly Place[]): Placement {
  const shape = shapeOf(wish.layout, places.length);
  const bytes = brickBytes(shape.sets, wish);
  const length = shape.copies + (shape.arbiter ? 1 : 0);
  if (places.length < length) return tooFew(wish.layout, length, places);
  const inodes = brickInodes({ inodes: wish.inodes, dataBytes: bytes.data, sets: shape.sets });
  const slots = slotsOf(shape, bytes, inodes);
  const roomiest = [...places].sort(byRoom).slice(0, slots.length);
  // The first try is to take the best for each brick. Where that leads nowhere, every way is tried: bricks come in
  // two sizes alone, so that if there is a way at all, there is one over as many of the roomiest as there are bricks.
  const chosen = fill(slots, places, 1) ?? fill(slots, roomiest, roomiest.length);
  if (chosen === undefined) return noRoom(wish.layout, slots, places);
  const bricks = slots.map(({ set, role, bytes: size }, i): Brick & { set: number } => {
    const { node, address } = chosen[i] as Place;
    return { set, node, address, role, bytes: size };
  });
  // Slots have data bricks before arbiters; Gluster wants set by set, arbiters last in theirs.
  const inOrder = Array.from({ length: shape.sets }, (_, set) => bricks.filter((brick) => brick.set === set));
  return { ok: true, bricks: inOrder.flat().map(({ set: _, ...brick }) => brick) };
}

interface Slot {
  readonly set: number;
  readonly role: Brick['role'];
  /** What it must hold, and what it takes of a pool for that. */
  readonly bytes: number;
  readonly image: number;
}

function slotsOf(
  { sets, copies, arbiter }: Shape,
  all: Readonly<Record<Brick['role'], number>>,
  inodes: number,
): Slot[] {
  const each = <T>(make: (set: number) => T[]): T[] =>
    Array.from({ length: sets }, (_, set) => make(set)).flat();
  const slot = (set: number, role: Brick['role']): Slot => {
    const bytes = all[role];
    return { set, role, bytes, image: shapeOfImage({ bytes, inodes }).imageBytes };
  };
  const data = each((set) => Array.from({ length: copies }, () => slot(set, 'data')));
  // Small ones last: they fit in what is left.
  return arbiter ? [...data, ...each((set) => [slot(set, 'arbiter')])] : data;
}

/**
 * @param width  how many candidates are tried for each slot
 * @returns a place for each slot; undefined when there is none this way
 */
function fill(slots: readonly Slot[], places: readonly Place[], width: number): Place[] | undefined {
  const rooms = new Map(places.map(({ node, room }) => [node, room]));
  const roomOf = ({ node }: Place): number => rooms.get(node) ?? 0;
  const chosen: Place[] = [];

  function next(): boolean {
    const slot = slots[chosen.length];
    if (slot === undefined) return true;
    const set = chosen.filter((_, i) => slots[i]?.set === slot.set);
    const zones = new Set(set.flatMap(({ zone }) => zone ?? []));
    const shares = ({ zone }: Place): number => (zone !== null && zones.has(zone) ? 1 : 0);
    const candidates = places
      .filter((place) => !set.includes(place) && roomOf(place) >= slot.image)
      .sort((a, b) => shares(a) - shares(b) || roomOf(b) - roomOf(a) || (a.node < b.node ? -1 : 1));
    for (const place of candidates.slice(0, width)) {
      chosen.push(place);
      rooms.set(place.node, roomOf(place) - slot.image);
      if (next()) return true;
      chosen.pop();
      rooms.set(place.node, roomOf(place) + slot.image);
    }
    return false;
  }

  return next() ? chosen : undefined;
}

function byRoom(a: Place, b: Place): number {
  return b.room - a.room || (a.node < b.node ? -1 : 1);
}

function tooFew(layout: Layout, needed: number, places: readonly Place[]): Placement {
  const there =
    places.length === 0 ? 'there is none' : `there ${places.length === 1 ? 'is' : 'are'} ${places.length}`;
  const takes = needed === 1 ? 'a storage node' : `${needed} storage nodes`;
  return { ok: false, why: `the layout ${layout} takes ${takes}, and ${there}`, rooms: namesOf(places) };
}

function noRoom(layout: Layout, slots: readonly Slot[], places: readonly Place[]): Placement {
  const of = (role: Brick['role']): string | undefined => {
    const some = slots.filter((slot) => slot.role === role);
    const what = role === 'data' ? 'of data' : 'for arbiters';
    return some[0] && `${some.length} x ${inWords(some[0].image)} ${what}`;
  };
  const takes = [of('data'), of('arbiter')].filter((one) => one !== undefined).join(' and ');
  const apart = slots.length > 1 ? ', what is the same on different nodes' : '';
  return {
    ok: false,
    why: `the storage nodes do not have the room: the layout ${layout} takes ${takes}${apart}`,
    rooms: namesOf(places),
  };
}

function namesOf(places: readonly Place[]): string {
  return [...places]
    .sort(byRoom)
    .slice(0, 10)
    .map(({ node, room }) => `${node} has ${inWords(Math.max(0, room))}`)
    .join(', ');
}

/** @returns such as '1.5 GiB' */
export function inWords(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${Math.floor((bytes / 2 ** (10 * power)) * 10) / 10} ${units[power]}`;
}
