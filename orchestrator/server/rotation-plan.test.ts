import type { HeldKeys, KeyGeneration } from '../../model/keys.ts';
import type { KeyEpoch, NodeName } from '../../model/names.ts';
import {
  beginRotation,
  firstRotation,
  type KeyTiming,
  type NodeKeys,
  planRotation as planSince,
  type Rotation,
  URGENT_WAIT_MS,
} from './rotation-plan.ts';

const TIMING: KeyTiming = { rotateEveryMs: 60_000, graceMs: 100, waitMs: 5_000, reconnectMs: 6_000 };
const held = (sends: number, ...accepts: number[]): HeldKeys => ({
  accepts: accepts as KeyEpoch[],
  sends: sends as KeyEpoch,
});
const node = (name: string, its?: HeldKeys, more: Partial<NodeKeys> = {}): NodeKeys => ({
  node: name as NodeName,
  fenced: false,
  awayMs: 0,
  held: its,
  ...more,
});
/** By a server that has run for long. */
const planRotation = (
  rotation: Rotation,
  nodes: readonly NodeKeys[],
  now: number,
  timing: KeyTiming,
): ReturnType<typeof planSince> => planSince(rotation, nodes, now, timing, -1e9);

const steady = firstRotation(1 as KeyGeneration, 0);
const generations = ({ accepted }: Rotation): number[] => accepted.map(({ generation }) => generation);
const advanced = (...call: Parameters<typeof planRotation>): Rotation => {
  const step = planRotation(...call);
  if (step.do !== 'advance') throw new Error(`it does ${JSON.stringify(step)}`);
  return step.to;
};

describe('a change of keys', () => {
  const spreading = beginRotation(steady, false, 1_000);

  it('begins by the clock, and never when the clock has no say', () => {
    expect(planRotation(steady, [], 59_999, TIMING)).toEqual({ do: 'wait', until: 60_000 });
    expect(planRotation(steady, [], 60_000, TIMING)).toEqual({ do: 'begin' });
    expect(planRotation(steady, [], 1e12, { ...TIMING, rotateEveryMs: 0 })).toEqual({
      do: 'wait',
      until: undefined,
    });
  });

  it('spreads, switches, retires: each when all nodes have said so', () => {
    expect(generations(spreading)).toEqual([1, 2]);
    expect(spreading.current).toBe(1);
    const half = [node('a', held(1, 1, 2)), node('b', held(1, 1))];
    expect(planRotation(spreading, half, 1_100, TIMING)).toEqual({ do: 'wait', until: 6_000 });

    const ready = [node('a', held(1, 1, 2)), node('b', held(1, 1, 2))];
    const switching = advanced(spreading, ready, 1_100, TIMING);
    expect(switching).toMatchObject({ phase: 'switching', current: 2, since: 1_100, late: [] });
    expect(generations(switching)).toEqual([1, 2]);
    expect(planRotation(switching, ready, 1_200, TIMING).do).toBe('wait');

    const switched = [node('a', held(2, 1, 2)), node('b', held(2, 1, 2))];
    const retiring = advanced(switching, switched, 1_200, TIMING);
    expect(retiring.phase).toBe('retiring');
    expect(planRotation(retiring, switched, 1_299, TIMING)).toEqual({ do: 'wait', until: 1_300 });
    const over = advanced(retiring, switched, 1_300, TIMING);
    expect(over).toMatchObject({ phase: 'steady', current: 2, begun: 1_000 });
    expect(generations(over)).toEqual([2]);
  });

  it('goes on without a node that does not answer in time, names it, and waits for it no more until it has caught up', () => {
    const nodes = [node('a', held(1, 1, 2)), node('b', held(1, 1))];
    const step = planRotation(spreading, nodes, 6_000, TIMING);
    expect(step).toMatchObject({ do: 'advance', left: ['b'], to: { phase: 'switching', late: ['b'] } });
    const switching = advanced(spreading, nodes, 6_000, TIMING);
    const retiring = advanced(switching, [node('a', held(2, 1, 2)), node('b', held(1, 1))], 6_010, TIMING);
    expect(retiring).toMatchObject({ phase: 'retiring', late: ['b'] });
    const caughtUp = [node('a', held(2, 1, 2)), node('b', held(2, 1, 2))];
    expect(advanced(retiring, caughtUp, 6_020, TIMING)).toMatchObject({ phase: 'retiring', late: [] });
  });

  it('waits for a node that has just gone away, and not for one that has been away for long', () => {
    const gone = (awayMs: number): NodeKeys[] => [
      node('a', held(1, 1, 2)),
      node('b', held(1, 1), { awayMs }),
    ];
    expect(planRotation(spreading, gone(4_000), 1_000, TIMING)).toEqual({ do: 'wait', until: 2_000 });
    expect(planRotation(spreading, gone(5_000), 1_000, TIMING)).toMatchObject({ do: 'advance', left: ['b'] });
  });

  it('gives nodes time to come back to a server that was started again, in the middle of a phase', () => {
    const nodes = [node('a', held(1, 1, 2)), node('b', undefined, { awayMs: 1 })];
    const late = { phase: 'switching', late: ['b'] };
    expect(planSince(spreading, nodes, 60_000, TIMING, 58_000)).toEqual({ do: 'wait', until: 64_000 });
    expect(planSince({ ...spreading, urgent: true }, nodes, 63_999, TIMING, 58_000)).toMatchObject({
      do: 'wait',
    });
    expect(planSince(spreading, nodes, 64_000, TIMING, 58_000)).toMatchObject({ do: 'advance', to: late });
  });

  it('is urgent when a node is fenced: that node is not asked, others for a second, and there is no grace', () => {
    const urgent = beginRotation(spreading, true, 2_000);
    // Nobody sends with generation 2 yet, and the fenced node knows it.
    expect(generations(urgent)).toEqual([1, 3]);
    const nodes = [node('a', held(1, 1, 3)), node('b', held(1, 1, 2), { fenced: true })];
    const switching = advanced(urgent, nodes, 2_001, TIMING);
    expect(switching).toMatchObject({ current: 3, late: [] });
    expect(planRotation(switching, nodes, 2_002, TIMING)).toEqual({
      do: 'wait',
      until: 2_001 + URGENT_WAIT_MS,
    });
    const retiring = advanced(switching, [node('a', held(3, 1, 3)), nodes[1]!], 2_003, TIMING);
    expect(generations(advanced(retiring, nodes, 2_003, TIMING))).toEqual([3]);
  });

  it('that is urgent keeps what is sent with until all send with the newest', () => {
    const switching: Rotation = { ...spreading, phase: 'switching', current: 2 as KeyGeneration };
    const urgent = beginRotation(switching, true, 2_000);
    expect(urgent).toMatchObject({ phase: 'spreading', current: 2, urgent: true });
    expect(generations(urgent)).toEqual([1, 2, 3]);
    expect(beginRotation(urgent, false, 2_001).urgent).toBe(true);
  });

  it('does not last longer when the clock is set back', () => {
    expect(advanced(spreading, [node('b', held(1, 1))], 500, TIMING)).toMatchObject({
      since: 500,
      begun: 500,
    });
  });
});
