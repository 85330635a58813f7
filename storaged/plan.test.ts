import type { Ipv4 } from '../model/addresses.ts';
import type { NodeName } from '../model/names.ts';
import { glusterName, type Volume, type VolumeId } from '../model/volume.ts';
import type { BrickReport } from '../model/volume-report.ts';
import { sampleVolume } from '../test/support/sample-volume.ts';
import type { HeldBrick } from './contract.ts';
import { type Action, type PlanInput, planVolumes } from './plan.ts';

const [A, B, C, D] = ['a', 'b', 'c', 'd'] as NodeName[] as [NodeName, NodeName, NodeName, NodeName];
const ADDRESSES = Object.fromEntries([A, B, C, D].map((node, n) => [node, `192.0.2.${n + 1}` as Ipv4]));
const PATH = '/bricks/one/brick';

const brickOn = (node: NodeName): Volume['bricks'][number] => ({
  ...{ node, address: ADDRESSES[node] as Ipv4, role: 'data', bytes: 2 ** 30 },
});
const volume = (...nodes: NodeName[]): Volume =>
  sampleVolume({ layout: 'replica-3', phase: 'ready', coordinator: A, bricks: nodes.map(brickOn) });
const peer = (node: NodeName): string => ADDRESSES[node] ?? '';

/** @param on  where Gluster has its bricks */
function plan(one: Volume, on: readonly NodeName[], more: Partial<PlanInput> = {}): readonly Action[] {
  const bricks = on.map((node) => ({ name: `${ADDRESSES[node]}:${PATH}`, arbiter: false }));
  const present = { name: glusterName(one.id), state: 'started', bricks, options: {} } as const;
  const input: PlanInput = {
    ...{ node: A, address: ADDRESSES['a'] as Ipv4, volumes: [one], bricks: [] },
    gluster: { volumes: [present], members: [peer(B), peer(C)] },
    members: new Set(Object.values(ADDRESSES)),
    told: () => [],
    optionsOf: () => ({}),
    ...more,
  };
  // Bricks of its own are none of these tests' business.
  return (planVolumes(input).get(one.id) ?? []).filter((action) => action.do !== 'brick');
}

const ready = (index: number): BrickReport => ({
  ...{ volume: volume(A).id as VolumeId, index, generation: 99, state: 'ready', fill: null },
  ...{ path: PATH, why: null },
});

describe('a brick that is to be on another node', () => {
  it('is replaced when the new one is there, and its node a peer', () => {
    const moved = volume(A, B, D);
    expect(plan(moved, [A, B, C])).toEqual([]);
    expect(plan(moved, [A, B, C], { told: () => [undefined, undefined, ready(2)] })).toEqual([
      { volume: moved.id, do: 'probe', address: ADDRESSES['d'] },
      {
        ...{ volume: moved.id, do: 'replace', index: 2 },
        ...{ from: `192.0.2.3:${PATH}`, to: `192.0.2.4:${PATH}` },
      },
    ]);
    expect(plan(moved, [A, B, D], { told: () => [undefined, undefined, ready(2)] })).toEqual([]);
  });

  it('is taken away from the node that had it, as soon as Gluster uses it no more', () => {
    const moved = volume(A, B, D);
    const held = { volume: moved.id, index: 2, path: PATH } as HeldBrick;
    const there = { node: C, address: ADDRESSES['c'] as Ipv4, bricks: [held] };
    expect(plan(moved, [A, B, C], there)).toEqual([]);
    expect(plan(moved, [A, B, D], there)).toEqual([{ volume: moved.id, do: 'remove-brick', index: 2 }]);
    expect(plan(moved, [A, B, D], { ...there, gluster: undefined })).toEqual([]);
    expect(plan(moved, [A, B, D], { ...there, gluster: { volumes: [], members: [] } })).toEqual([]);
  });
});

describe('a peer that is no node of the cluster', () => {
  const members = new Set([ADDRESSES['a'] as string, ADDRESSES['b'] as string]);

  it('is let go, unless it has a brick of any volume', () => {
    const one = volume(A, B);
    const known = [peer(B), peer(C), peer(D)];
    const foreign = { name: 'data', state: 'started', options: {} } as const;
    const bricks = [{ name: `${ADDRESSES['d']}:/export`, arbiter: false }];
    const present = { name: glusterName(one.id), state: 'started', options: {} } as const;
    const ours = [A, B].map((node) => ({ name: `${ADDRESSES[node]}:${PATH}`, arbiter: false }));
    const gluster = {
      members: known,
      volumes: [
        { ...present, bricks: ours },
        { ...foreign, bricks },
      ],
    };
    expect(plan(one, [A, B], { members, gluster })).toEqual([
      { volume: one.id, do: 'detach', address: ADDRESSES['c'] },
    ]);
  });

  it('is let go before a volume is deleted, which Gluster refuses while any peer is away', () => {
    const going = { ...volume(A, B), phase: 'removing' } as const;
    const gluster = {
      volumes: [{ name: glusterName(going.id), state: 'started', bricks: [], options: {} }],
      members: [peer(B), peer(C)],
    } as const;
    expect(plan(going, [A, B], { members, gluster }).map((action) => action.do)).toEqual([
      ...['detach', 'stop', 'delete'],
    ]);
  });
});
