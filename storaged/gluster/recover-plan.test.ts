import { describe, expect, it } from '@jest/globals';
import { type Accusation, type BrickCopy, type Entry, planRecovery } from './recover-plan.ts';

const MIB = 2 ** 20;
const ROOT = '00000000000000000000000000000001';
const GFID = '11111111222233334444555555555555';

interface Shown extends Partial<Omit<Entry, 'accuses'>> {
  readonly data?: readonly number[];
  readonly metadata?: readonly number[];
  readonly entry?: readonly number[];
}

function entry(path: string, { data = [], metadata = [], entry: names = [], ...rest }: Shown = {}): Entry {
  const accused = new Set([...data, ...metadata, ...names]);
  return {
    ...{ path, kind: 'file', bytes: 10, gfid: GFID, dirty: false, pointer: false, sharding: null, ...rest },
    accuses: new Map(
      [...accused].map((index): [number, Accusation] => [
        index,
        { data: data.includes(index), metadata: metadata.includes(index), entry: names.includes(index) },
      ]),
    ),
  };
}

const root = (shown: Shown = {}): Entry => entry('', { kind: 'directory', gfid: ROOT, ...shown });

/** Bricks of one set, the third an arbiter; null: not at hand. */
function set(...contents: readonly (readonly Entry[] | null)[]): BrickCopy[] {
  return contents.map((entries, index) => ({
    ...{ index, set: 0, arbiter: index === 2 },
    entries: entries && new Map([root(), ...entries].map((one) => [one.path, one])),
  }));
}

const filesOf = (bricks: readonly BrickCopy[]) =>
  planRecovery(bricks).restored.flatMap((one) => (one.kind === 'file' ? [one] : []));

describe('planRecovery', () => {
  it('takes a file from a copy that nobody accuses, and compares it with the others', () => {
    const [file] = filesOf(set([entry('f')], [entry('f')], [entry('f', { bytes: 0 })]));
    expect(file?.pieces).toEqual([{ brick: 0, path: 'f', at: 0, bytes: 10, also: [1] }]);
  });

  it('takes it from the other where one copy is accused, also by an arbiter alone', () => {
    const stale = entry('f', { bytes: 4 });
    for (const bricks of [
      set([stale], [entry('f', { data: [0] })], [entry('f', { bytes: 0 })]),
      set([stale], [entry('f')], [entry('f', { bytes: 0, data: [0] })]),
    ])
      expect(filesOf(bricks)[0]?.pieces).toEqual([{ brick: 1, path: 'f', at: 0, bytes: 10, also: [] }]);
  });

  it('names a file whose copies accuse each other, and restores the rest', () => {
    const bricks = set(
      [entry('f', { data: [1] }), entry('g', { gfid: '2' })],
      [entry('f', { data: [0] }), entry('g', { gfid: '2' })],
      [],
    );
    const { refused, restored } = planRecovery(bricks);
    expect(refused).toEqual([{ path: 'f', why: expect.stringContaining('split brain') }]);
    expect(restored.map(({ path }) => path)).toEqual(['', 'g']);
  });

  it('names a file whose only copy at hand is accused', () => {
    const { refused } = planRecovery(set([entry('f')], null, [entry('f', { bytes: 0, data: [0] })]));
    expect(refused).toEqual([
      { path: 'f', why: expect.stringContaining('on brick 0, lacks what brick 2 knows of') },
    ]);
  });

  it('names a file whose only copy at hand may have missed a write that an arbiter saw begin', () => {
    const arbiter = (shown: Shown): Entry => entry('f', { bytes: 0, dirty: true, ...shown });
    expect(planRecovery(set(null, [entry('f', { dirty: true })], [arbiter({})])).refused).toEqual([
      { path: 'f', why: expect.stringMatching(/^brick 2 saw .* what brick 0 holds, .* may be newer/) },
    ]);
    for (const decided of [
      set([entry('f')], [entry('f')], [arbiter({})]),
      set([entry('f', { data: [1] })], null, [arbiter({ data: [1] })]),
      set(null, [entry('f', { dirty: true })], [arbiter({ dirty: false })]),
    ])
      expect(filesOf(decided)).toHaveLength(1);
  });

  it('names a file of which only the arbiter is at hand', () => {
    const { refused } = planRecovery(set(null, null, [entry('f', { bytes: 0 })]));
    expect(refused[0]?.why).toContain('only an arbiter');
  });

  it('names a file of whose copies none is accused, and which are of different sizes', () => {
    expect(planRecovery(set([entry('f')], [entry('f', { bytes: 11 })], [])).refused).toHaveLength(1);
    expect(planRecovery(set([entry('f')], [entry('f', { gfid: '3' })], [])).refused).toHaveLength(1);
  });

  it('doubts a set of which so few bricks are at hand that writes may have gone past them', () => {
    const doubtful = (...here: readonly boolean[]): boolean =>
      planRecovery(set(...here.map((is) => (is ? [] : null)))).doubtfulSets.length > 0;
    expect(doubtful(true, true, true)).toBe(false);
    expect(doubtful(true, false, true)).toBe(false);
    expect(doubtful(false, true, false)).toBe(true);
    // Of two, the first has the casting vote.
    expect(doubtful(true, false)).toBe(false);
    expect(doubtful(false, true)).toBe(true);
    expect(doubtful(false)).toBe(true);
  });

  it('leaves out what was removed while a brick was away, and keeps what was made then', () => {
    const away = set([entry('old')], [entry('new', { gfid: '4' })], [entry('new', { gfid: '4', bytes: 0 })]);
    const accusing = away.map((brick) =>
      brick.index === 0 ? brick : { ...brick, entries: new Map(brick.entries).set('', root({ entry: [0] })) },
    );
    expect(planRecovery(accusing).restored.map(({ path }) => path)).toEqual(['', 'new']);
    const { restored, notes } = planRecovery(away);
    expect(restored.map(({ path }) => path)).toEqual(['', 'new', 'old']);
    expect(notes).toHaveLength(2);
  });

  it('takes no file for another that has got its name while a brick was away', () => {
    const bricks = set(
      [entry('f')],
      [entry('f', { gfid: '4', bytes: 3 })],
      [entry('f', { gfid: '4', bytes: 0 })],
    );
    const accusing = bricks.map((brick) =>
      brick.index === 0 ? brick : { ...brick, entries: new Map(brick.entries).set('', root({ entry: [0] })) },
    );
    expect(filesOf(accusing).map(({ bytes, like }) => [bytes, like.brick])).toEqual([[3, 1]]);
    expect(planRecovery(bricks).refused).toEqual([
      { path: 'f', why: 'bricks hold different things under this name' },
    ]);
  });

  it('puts a spread file together from shards of all sets, a missing one being a hole', () => {
    const sharding = { block: 64 * MIB, total: 200 * MIB };
    const shard = (n: number, shown: Shown = {}): Entry =>
      entry(`.shard/11111111-2222-3333-4444-555555555555.${n}`, { gfid: `9${n}`, bytes: 64 * MIB, ...shown });
    const first = [root(), entry('big', { bytes: 64 * MIB, sharding }), shard(3, { bytes: 8 * MIB })];
    const second = [root(), entry('big', { pointer: true, bytes: 0 }), shard(1)];
    const bricks = [first, second].map((entries, index) => ({
      ...{ index, set: index, arbiter: false },
      entries: new Map(entries.map((one) => [one.path, one])),
    }));
    const [file] = filesOf(bricks);
    expect(file?.bytes).toBe(200 * MIB);
    expect(file?.pieces.map(({ brick, at, bytes }) => [brick, at / MIB, bytes / MIB])).toEqual([
      [0, 0, 64],
      [1, 64, 64],
      [0, 192, 8],
    ]);
  });

  it('names a spread file one of whose shards cannot be known', () => {
    const sharding = { block: 64 * MIB, total: 65 * MIB };
    const name = '.shard/11111111-2222-3333-4444-555555555555.1';
    const copy = (other: number): Entry[] => [
      entry('big', { sharding }),
      entry('.shard', { kind: 'directory', gfid: '5' }),
      entry(name, { gfid: '6', data: [other] }),
    ];
    expect(planRecovery(set(copy(1), copy(0), [])).refused).toEqual([
      { path: 'big', why: expect.stringContaining('its part 1') },
    ]);
  });

  it('says what is missing with a whole set, and takes no shard for a hole that may lie there', () => {
    const sharding = { block: 64 * MIB, total: 65 * MIB };
    const bricks = [
      ...set([entry('big', { sharding }), entry('small', { gfid: '7' })], [], []).slice(0, 1),
      { index: 1, set: 1, arbiter: false, entries: null },
    ];
    const { refused, restored, doubtfulSets } = planRecovery(bricks);
    expect(doubtfulSets).toEqual([1]);
    expect(refused.map(({ path }) => path)).toEqual(['', 'big']);
    expect(restored.map(({ path }) => path)).toEqual(['', 'small']);
  });

  it('makes a second name of a file a link to the first', () => {
    const { restored } = planRecovery(
      set([entry('a'), entry('b')], [entry('a'), entry('b')], [entry('a'), entry('b')]),
    );
    expect(restored.slice(1)).toMatchObject([
      { kind: 'file', path: 'a' },
      { kind: 'same', path: 'b', as: 'a' },
    ]);
  });
});
