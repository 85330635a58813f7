/** When a volume's record may go, move on, or change hands: by what nodes have told, and by nothing else. */
import type { ClusterNode } from '../../model/cluster.ts';
import type { NodeName } from '../../model/names.ts';
import { Volume, type VolumeId } from '../../model/volume.ts';
import type { BrickReport, VolumeReport } from '../../model/volume-report.ts';
import { brickKey, type NodeStorage } from './volume-reports.ts';
import {
  COORDINATOR_SILENT_MS,
  CREATED_WITHIN_MS,
  MAKER_SILENT_MS,
  nextStep,
  type Step,
  type StorageWorld,
} from './volume-steps.ts';

const ID = 'v000000000001' as VolumeId;
const NODES = ['a', 'b', 'c'] as NodeName[];

function volume(more: object = {}): Volume {
  return Volume.parse({
    ...{ id: ID, tenant: 'blue', name: 'shared', phase: 'creating', sizeBytes: 1, inodes: null },
    ...{ layout: 'replica-3', thin: false, limits: {}, nodeLimits: {}, hosts: [], coordinator: 'a' },
    bricks: NODES.map((node, i) => ({ node, address: `192.0.2.${i + 1}`, role: 'data', bytes: 1 })),
    ...{ generation: 5, removeAt: null, createdAt: 0 },
    ...more,
  });
}

const brick = (index: number, more: Partial<BrickReport> = {}): BrickReport => ({
  ...{ volume: ID, index, state: 'ready', generation: 5, why: null, fill: null },
  ...more,
});
const order = (more: Partial<VolumeReport> = {}): VolumeReport => ({
  ...{ volume: ID, generation: 5, state: 'absent', why: null, online: [], fill: null, heal: null },
  ...more,
});

interface Words {
  readonly revision?: number;
  readonly reachable?: boolean;
  readonly silentMs?: number;
  readonly bricks?: readonly BrickReport[];
  readonly orders?: readonly VolumeReport[];
}

/** @param words  of each node, by name; null: it is no longer of the cluster, or has never said anything */
function worldOf(
  words: Readonly<Record<string, Words | null>>,
  now = 0,
  known: readonly NodeName[] = NODES,
): StorageWorld {
  const told = (node: NodeName): NodeStorage | undefined => {
    const said = words[node];
    if (said === null || said === undefined) return undefined;
    const { revision = 9, reachable = true, silentMs = 0, bricks = [], orders = [] } = said;
    return {
      ...{ node, revision, pool: null, address: null, mounts: [], at: 0, silentMs, reachable },
      bricks: new Map(bricks.map((one) => [brickKey(one.volume, one.index), one])),
      volumes: new Map(orders.map((one) => [one.volume, one])),
    };
  };
  return {
    now,
    nodes: new Map(known.map((node) => [node, { node, fenced: false } as ClusterNode])),
    told,
    silentMs: (node) => told(node)?.silentMs ?? 100,
    idleMs: () => 0,
  };
}

const stepOf = (one: Volume, world: StorageWorld): Step['point'] | undefined =>
  nextStep({ one, revision: 9 }, undefined, world)?.point;

describe('the record of a volume that is removed', () => {
  const removing = volume({ phase: 'removing' });
  const done = { a: { orders: [order()] }, b: {}, c: {} };

  it('goes when everybody knows of it and has nothing', () => {
    expect(stepOf(removing, worldOf(done))).toBe('gone');
  });

  it.each<[string, Readonly<Record<string, Words | null>>]>([
    ['has a brick yet', { b: { bricks: [brick(1)] } }],
    ['has one that failed', { b: { bricks: [brick(1, { state: 'failed' })] } }],
    ['has not heard of the removal', { b: { revision: 8 } }],
    ['is silent', { b: { reachable: false, silentMs: 4_000 } }],
    ['has never said anything', { b: null }],
    ['coordinates, and says nothing of Gluster', { a: {} }],
    ['coordinates, and answers an earlier generation', { a: { orders: [order({ generation: 4 })] } }],
    ['coordinates, and Gluster knows it', { a: { orders: [order({ state: 'stopped' })] } }],
  ])('stays while a node %s', (_what, words) => {
    expect(stepOf(removing, worldOf({ ...done, ...words }))).toBeUndefined();
  });

  it('does not wait for a node that was taken out of the cluster', () => {
    expect(stepOf(removing, worldOf({ ...done, b: null }, 0, ['a', 'c'] as NodeName[]))).toBe('gone');
  });
});

describe('a volume that is being made', () => {
  const bricks = { a: { bricks: [brick(0)] }, b: { bricks: [brick(1)] }, c: { bricks: [brick(2)] } };
  const started = (generation: number): Words => ({
    ...bricks.a,
    orders: [order({ state: 'started', generation })],
  });

  it('is ready by its coordinator’s word on this generation alone', () => {
    expect(stepOf(volume(), worldOf({ ...bricks, a: started(5) }))).toBe('ready');
    expect(stepOf(volume(), worldOf({ ...bricks, a: started(4) }))).toBeUndefined();
    expect(stepOf(volume(), worldOf({ ...bricks, b: started(5) }))).toBeUndefined();
  });

  it('is taken back for a failure of this generation, and not for an earlier one', () => {
    const failed = (generation: number): Words => ({ bricks: [brick(1, { state: 'failed', generation })] });
    expect(stepOf(volume(), worldOf({ ...bricks, b: failed(5) }))).toBe('removing');
    expect(stepOf(volume(), worldOf({ ...bricks, b: failed(4) }))).toBeUndefined();
    // A node may fail at what is none of its business.
    const strange = { bricks: [brick(1), brick(0, { state: 'failed' })] };
    expect(stepOf(volume(), worldOf({ ...bricks, b: strange }))).toBeUndefined();
  });

  it('is taken back when a node is dead that has not made its brick; one that has made it is waited for', () => {
    const dead = (silentMs: number): Words => ({ reachable: false, silentMs });
    expect(stepOf(volume(), worldOf({ ...bricks, b: dead(MAKER_SILENT_MS - 1) }))).toBeUndefined();
    expect(stepOf(volume(), worldOf({ ...bricks, b: dead(MAKER_SILENT_MS) }))).toBe('removing');
    expect(
      stepOf(volume(), worldOf({ ...bricks, b: { ...bricks.b, ...dead(MAKER_SILENT_MS) } })),
    ).toBeUndefined();
  });

  it('has a minute', () => {
    expect(stepOf(volume(), worldOf(bricks, CREATED_WITHIN_MS - 1))).toBeUndefined();
    expect(stepOf(volume(), worldOf(bricks, CREATED_WITHIN_MS))).toBe('removing');
  });
});

describe('a coordinator', () => {
  const silent = { reachable: false, silentMs: COORDINATOR_SILENT_MS };
  const ready = volume({ phase: 'ready' });

  it('is another after 10 s of silence, with a generation of its own', () => {
    expect(
      stepOf(ready, worldOf({ a: { ...silent, silentMs: COORDINATOR_SILENT_MS - 1 }, b: {}, c: {} })),
    ).toBeUndefined();
    const step = nextStep({ one: ready, revision: 9 }, undefined, worldOf({ a: silent, b: silent, c: {} }));
    expect(step).toMatchObject({ point: 'coordinator', to: { coordinator: 'c', generation: 6 } });
    expect(stepOf(ready, worldOf({ a: silent, b: silent, c: silent }))).toBeUndefined();
  });

  it('is never a node without a brick of it, which need not know the volume', () => {
    const [first] = ready.bricks;
    const single = volume({ phase: 'ready', layout: 'single', bricks: [first] });
    expect(stepOf(single, worldOf({ a: silent, b: {}, c: {} }))).toBeUndefined();
  });
});
