/** Volumes through anything that can befall a cluster: what is wanted comes to be, whole, and of the rest nothing stays. */
import fc from 'fast-check';
import { glusterName, type Layout, type Volume, type VolumeId } from '../../model/volume.ts';
import { FOREIGN, NODES, StorageWorld } from '../support/storage-world.ts';

const RUNS = 300;
const STRAY = 'vffffffffffff' as VolumeId;

const aNode = fc.constantFrom(...NODES);
const anEvent = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('create' as const),
      layout: fc.constantFrom<Layout>('single', 'two-by-two', 'replica-3', 'arbiter'),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('round' as const), node: aNode }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('serve' as const) }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('turn' as const) }) },
  fc.record({ kind: fc.constant('delete' as const), which: fc.nat(3), now: fc.boolean() }),
  fc.record({ kind: fc.constant('undelete' as const), which: fc.nat(3) }),
  fc.record({ kind: fc.constant('resize' as const), which: fc.nat(3) }),
  fc.record({ kind: fc.constant('move' as const), which: fc.nat(3), index: fc.nat(3) }),
  fc.record({ kind: fc.constant('hosts' as const), which: fc.nat(3), node: aNode }),
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('die' as const), node: aNode, after: fc.nat(12) }) },
  fc.record({ kind: fc.constant('off' as const), node: aNode }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('revive' as const), node: aNode }) },
  fc.record({ kind: fc.constant('full' as const), node: aNode, full: fc.boolean() }),
);
type Event = typeof anEvent extends fc.Arbitrary<infer E> ? E : never;

async function befall(world: StorageWorld, event: Event): Promise<void> {
  const volume = (which: number): VolumeId => [...world.records.keys()][which] ?? STRAY;
  const phaseOf = (id: VolumeId): string | undefined => world.records.get(id)?.phase;
  switch (event.kind) {
    case 'create':
      return world.create(event.layout);
    case 'round':
      return world.round(event.node);
    case 'serve':
      return world.serve();
    case 'turn':
      return turn(world);
    case 'delete': {
      const id = volume(event.which);
      if (phaseOf(id) === 'ready') world.change(id, { phase: event.now ? 'removing' : 'deleted' });
      return;
    }
    case 'undelete': {
      const id = volume(event.which);
      if (phaseOf(id) === 'deleted') world.change(id, { phase: 'ready' });
      return;
    }
    case 'resize': {
      const id = volume(event.which);
      const { phase, bricks = [] } = world.records.get(id) ?? {};
      if (phase === 'ready')
        world.change(id, { bricks: bricks.map((one) => ({ ...one, bytes: 2 * one.bytes })) });
      return;
    }
    case 'move': {
      return world.move(volume(event.which), event.index);
    }
    case 'hosts': {
      const id = volume(event.which);
      const { phase, hosts = [] } = world.records.get(id) ?? {};
      if (phase === 'ready') world.change(id, { hosts: [...new Set([...hosts, event.node])] });
      return;
    }
    case 'die':
      return world.dieAfter(event.node, event.after);
    case 'off':
      return world.powerOff(event.node);
    case 'revive':
      return world.revive(event.node);
    case 'full':
      return world.fill(event.node, event.full);
  }
}

/** Everybody is back, and nothing more befalls them. */
async function settle(world: StorageWorld): Promise<void> {
  for (const node of NODES) {
    world.kill(node);
    world.revive(node);
    world.fill(node, false);
  }
  for (let n = 0; n < 12; n += 1) await turn(world);
}

async function turn(world: StorageWorld): Promise<void> {
  world.now += 60_000;
  for (const node of NODES) await world.round(node);
  world.serve();
}

function expectWhole(world: StorageWorld): void {
  expect(world.crimes).toEqual([]);
  for (const volume of world.records.values()) expectAsWanted(world, volume);
  const wanted = [...world.records.keys()];
  expect([...world.volumes.keys()].sort()).toEqual([FOREIGN, ...wanted.map(glusterName)].sort());
  const bricks = new Set(world.bricks().map(({ volume }) => volume));
  expect([...bricks].sort()).toEqual([STRAY, ...wanted].sort());
  expect(world.volumes.get(FOREIGN)?.state).toBe('started');
}

function expectAsWanted(world: StorageWorld, { id, phase, hosts, bricks }: Volume): void {
  expect(['ready', 'deleted']).toContain(phase);
  const present = world.volumes.get(glusterName(id));
  expect(present?.state).toBe(phase === 'ready' ? 'started' : 'stopped');
  // One that was deleted before its bricks had moved keeps them where they were.
  if (phase === 'ready') {
    const places = present?.bricks.map(({ name }) => name.split(':')[0]);
    expect(places).toEqual(bricks.map(({ address }) => address));
    expect(world.bricks().filter(({ volume }) => volume === id)).toHaveLength(bricks.length);
  }
  if (phase === 'ready') expect(present?.options['auth.allow']).toBe(hosts.join(',') || 'nobody');
  for (const [index, { bytes }] of bricks.entries())
    expect(world.bricks()).toContainEqual(
      expect.objectContaining({ volume: id, index, bytes, mounted: true }),
    );
}

describe('the volumes of a cluster', () => {
  it('are whole or gone when all that befell it is over, and what is not ours is as it was', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anEvent, { maxLength: 60, size: 'max' }), async (events) => {
        const world = new StorageWorld();
        world.putStray('a' as (typeof NODES)[number], STRAY);
        for (const event of events) await befall(world, event);
        await settle(world);

        expectWhole(world);

        const before = world.changes;
        for (const node of NODES) await world.round(node);
        expect(world.changes).toBe(before);
      }),
      { numRuns: RUNS },
    );
  });
});
