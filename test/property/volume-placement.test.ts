/** Where bricks go, in random clusters: copies apart, promises kept to, the same answer to the same question. */
import fc from 'fast-check';
import type { Ipv4 } from '../../model/addresses.ts';
import { brickNeed, poolRefusal, shapeOf } from '../../model/brick-size.ts';
import type { ClusterNode } from '../../model/cluster.ts';
import type { NodeName } from '../../model/names.ts';
import { Layout, replicaSetsOf, type Volume, type VolumeId } from '../../model/volume.ts';
import {
  defaultLayout,
  type Place,
  placeBricks,
  shapeOf as shapeOfLayout,
} from '../../orchestrator/server/volume-placement.ts';
import type { NodeStorage } from '../../orchestrator/server/volume-reports.ts';
import { placesFor } from '../../orchestrator/server/volume-rooms.ts';

const RUNS = 1_000;
const GIB = 2 ** 30;
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

const layout = fc.constantFrom(...Layout.options);
const wish = fc.record({
  layout,
  sizeBytes: fc.integer({ min: GIB, max: 64 * GIB }),
  inodes: fc.option(fc.integer({ min: 1_000, max: 1_000_000 })),
});
const places: fc.Arbitrary<Place[]> = fc
  .array(
    fc.record({
      zone: fc.option(fc.constantFrom('x', 'y', 'z')),
      room: fc.oneof(
        fc.integer({ min: 0, max: 100 }).map((n) => n * GIB),
        fc.constant(33 * GIB),
      ),
    }),
    { maxLength: NAMES.length },
  )
  .map((all) =>
    all.map(({ zone, room }, i) => ({
      ...{ node: NAMES[i] as NodeName, address: `192.0.2.${i + 1}` as Ipv4, zone, room },
    })),
  );

function placeWith(room: number, zone: string | null): (node: string, i: number) => Place {
  return (node, i) => ({ ...{ node: node as NodeName, address: `192.0.2.${i + 1}` as Ipv4 }, zone, room });
}

/** As the record of such a volume would have it. */
function volumeOf(
  { layout: how, sizeBytes, inodes }: { layout: Layout; sizeBytes: number; inodes: number | null },
  bricks: Volume['bricks'],
  thin = false,
): Volume {
  return { layout: how, sizeBytes, inodes, bricks, thin, id: 'v000000000000' as VolumeId } as Volume;
}

describe('placing bricks', () => {
  it('puts what is the same on different nodes, arbiters on a third, in Gluster’s order', () => {
    let placed = 0;
    fc.assert(
      fc.property(wish, places, (one, all) => {
        const placement = placeBricks(one, all);
        if (!placement.ok) return;
        placed += 1;
        const volume = volumeOf(one, [...placement.bricks]);
        const shape = shapeOfLayout(one.layout, all.length);
        const sets = replicaSetsOf(volume);
        expect(sets).toHaveLength(shape.sets);
        for (const set of sets) {
          expect(new Set(set.map(({ node }) => node)).size).toBe(set.length);
          expect(set.map(({ role }) => role)).toEqual([
            ...new Array<string>(shape.copies).fill('data'),
            ...(shape.arbiter ? ['arbiter'] : []),
          ]);
        }
        const data = sets.map(([first]) => first!.bytes);
        expect(data.reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThanOrEqual(one.sizeBytes);
      }),
      { numRuns: RUNS },
    );
    expect(placed).toBeGreaterThan(RUNS / 5);
  });

  it('promises of no node more than it has', () => {
    fc.assert(
      fc.property(wish, places, (one, all) => {
        const placement = placeBricks(one, all);
        if (!placement.ok) return;
        const volume = volumeOf(one, [...placement.bricks]);
        for (const { node, room } of all) {
          const images = volume.bricks.flatMap((brick, i) =>
            brick.node === node ? [shapeOf(brickNeed(volume, i)).imageBytes] : [],
          );
          expect(images.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(
            images.length > 0 ? room : 0,
          );
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('finds a way wherever there is one, also where it is the only one', () => {
    const one = { layout: 'two-by-two' as const, sizeBytes: 10 * GIB, inodes: null };
    const anywhere = placeBricks(one, ['a', 'b', 'c'].map(placeWith(1_000 * GIB, null)));
    const volume = volumeOf(one, anywhere.ok ? [...anywhere.bricks] : []);
    const [data, , arbiter] = volume.bricks.map((_, i) => shapeOf(brickNeed(volume, i)).imageBytes);
    const count = fc.integer({ min: 0, max: 2 });
    const tight = fc.tuple(count, count, fc.option(fc.constantFrom('x', 'y')));
    const answers = { yes: 0, no: 0 };
    fc.assert(
      fc.property(fc.array(tight, { minLength: 2, maxLength: 5 }), (rooms) => {
        const all = rooms.map(([some, more, zone], i) =>
          placeWith(some * data! + more * arbiter!, zone)(NAMES[i]!, i),
        );
        const { ok } = placeBricks(one, all);
        expect(ok).toBe(canBePlaced(one, all));
        answers[ok ? 'yes' : 'no'] += 1;
      }),
      { numRuns: 3 * RUNS },
    );
    expect(Math.min(answers.yes, answers.no)).toBeGreaterThan(RUNS / 10);
  });

  it('gives the same answer whatever the order in which nodes are named', () => {
    fc.assert(
      fc.property(wish, places, fc.integer(), (one, all, seed) => {
        const shuffled = [...all].sort((a, b) => hash(a.node, seed) - hash(b.node, seed));
        expect(placeBricks(one, shuffled)).toEqual(placeBricks(one, all));
      }),
      { numRuns: RUNS },
    );
  });

  it('takes different zones where each has room for everything', () => {
    fc.assert(
      fc.property(wish, places, (one, all) => {
        const roomy = all.map((place) => ({ ...place, room: 1_000 * GIB }));
        const zones = new Set(roomy.map(({ zone }) => zone));
        const placement = placeBricks(one, roomy);
        if (!placement.ok || zones.has(null)) return;
        const zoneOf = new Map(roomy.map(({ node, zone }) => [node, zone]));
        for (const set of replicaSetsOf(volumeOf(one, [...placement.bricks]))) {
          const used = new Set(set.map(({ node }) => zoneOf.get(node)));
          expect(used.size).toBe(Math.min(set.length, zones.size));
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('says what is lacking', () => {
    const one = { layout: 'replica-3' as const, sizeBytes: 10 * GIB, inodes: null };
    const some = ['a', 'b', 'c'].map(
      (node, i): Place => ({
        ...{ node: node as NodeName, address: `192.0.2.${i + 1}` as Ipv4, zone: null, room: (i + 5) * GIB },
      }),
    );
    expect(placeBricks(one, [])).toMatchObject({
      ok: false,
      why: 'the layout replica-3 takes 3 storage nodes, and there is none',
    });
    expect(placeBricks(one, some.slice(1))).toMatchObject({
      why: 'the layout replica-3 takes 3 storage nodes, and there are 2',
    });
    expect(placeBricks(one, some)).toEqual({
      ok: false,
      why: 'the storage nodes do not have the room: the layout replica-3 takes 3 x 10 GiB of data, what is the same on different nodes',
      rooms: 'c has 7 GiB, b has 6 GiB, a has 5 GiB',
    });
    expect([0, 1, 2, 9].map(defaultLayout)).toEqual(['single', 'single', 'two-by-two', 'two-by-two']);
  });
});

describe('the room of a node', () => {
  const pool = fc.record({
    total: fc.integer({ min: 1, max: 1_000 }),
    promised: fc.integer({ min: 0, max: 2_000 }),
    used: fc.integer({ min: 0, max: 1_000 }),
  });

  it('is what the node itself would take, one brick after the other, before it has told of any', () => {
    fc.assert(
      fc.property(
        pool,
        wish,
        fc.boolean(),
        fc.constantFrom(1, 1.5, 2),
        ({ total, promised, used }, one, thin, overcommit) => {
          const totalBytes = total * GIB;
          const freeBytes = Math.max(0, total - used) * GIB;
          let its = { totalBytes, freeBytes, promisedBytes: promised * GIB };
          const told = nodeStorage(its);
          const volumes: Volume[] = [];
          for (let i = 0; i < 5; i++) {
            const single = { ...one, layout: 'single' as const };
            const [place] = placesFor({ thin }, { told: [told], nodes: [NODE], volumes, overcommit });
            const placement = placeBricks(single, [place!]);
            const image = shapeOf(brickNeed(volumeOf(single, [brickFor(one.sizeBytes)], thin), 0)).imageBytes;
            const refusal = poolRefusal(its, { bytes: image, thin }, overcommit);
            // What is thin takes next to nothing at first, and the node says so when it has told.
            expect(placement.ok).toBe(refusal === undefined);
            if (!placement.ok) return;
            its = {
              totalBytes,
              freeBytes: thin ? its.freeBytes : its.freeBytes - image,
              promisedBytes: its.promisedBytes + image,
            };
            volumes.push({
              ...volumeOf(single, [...placement.bricks], thin),
              id: `v00000000000${i}` as VolumeId,
            });
          }
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('is none where a node is silent, fenced, unknown, or keeps no bricks', () => {
    const told = nodeStorage({ totalBytes: GIB, freeBytes: GIB, promisedBytes: 0 });
    const rooms = (one: NodeStorage, nodes: ClusterNode[]): number =>
      placesFor({ thin: false }, { told: [one], nodes, volumes: [], overcommit: 1 }).length;
    expect(rooms(told, [NODE])).toBe(1);
    expect(rooms({ ...told, reachable: false }, [NODE])).toBe(0);
    expect(rooms({ ...told, pool: null }, [NODE])).toBe(0);
    expect(rooms(told, [{ ...NODE, fenced: true }])).toBe(0);
    expect(rooms(told, [])).toBe(0);
  });
});

const NODE = { node: 'a', zone: null, fenced: false } as unknown as ClusterNode;

function nodeStorage(pool: NonNullable<NodeStorage['pool']>): NodeStorage {
  return {
    ...{ node: 'a' as NodeName, revision: 1, pool, address: '192.0.2.1' as Ipv4 },
    ...{ bricks: new Map(), volumes: new Map(), mounts: [], at: 0, silentMs: 0, reachable: true },
  };
}

function brickFor(sizeBytes: number): Volume['bricks'][number] {
  const bytes = Math.ceil(sizeBytes / 2 ** 20) * 2 ** 20;
  return { node: 'a' as NodeName, address: '192.0.2.1' as Ipv4, role: 'data', bytes };
}

function hash(text: string, seed: number): number {
  return Math.imul(text.charCodeAt(0) ^ seed, 2_654_435_761) % 1_000;
}

/** By trying every way. */
function canBePlaced(
  one: { layout: Layout; sizeBytes: number; inodes: number | null },
  all: Place[],
): boolean {
  const shape = shapeOfLayout(one.layout, all.length);
  const endless = all.map((place) => ({ ...place, room: Number.MAX_SAFE_INTEGER }));
  const anywhere = placeBricks(one, endless);
  if (!anywhere.ok) return false;
  const volume = volumeOf(one, [...anywhere.bricks]);
  const images = volume.bricks.map((_, i) => shapeOf(brickNeed(volume, i)).imageBytes);
  const length = shape.copies + (shape.arbiter ? 1 : 0);
  const left = new Map(all.map(({ node, room }) => [node, room]));
  const chosen: NodeName[] = [];

  function next(): boolean {
    const i = chosen.length;
    const image = images[i];
    if (image === undefined) return true;
    const set = chosen.slice(i - (i % length));
    for (const { node } of all) {
      const room = left.get(node) ?? 0;
      if (set.includes(node) || room < image) continue;
      chosen.push(node);
      left.set(node, room - image);
      if (next()) return true;
      chosen.pop();
      left.set(node, room);
    }
    return false;
  }

  return next();
}
