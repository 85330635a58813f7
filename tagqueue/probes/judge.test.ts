import fc from 'fast-check';
import { FORBIDDEN_KINDS, PROBE_KINDS, type ProbeKind } from '../../model/fence-probe.ts';
import type { NodeName } from '../../model/names.ts';
import { type Failure, failuresOf, judgePeer, newsOf, type Observed, sentenceOf, wordOf } from './judge.ts';

const KINDS = Object.keys(PROBE_KINDS) as ProbeKind[];
const B = 'b' as NodeName;
const kinds = fc.subarray(KINDS).map((list) => new Set(list));
const observed: fc.Arbitrary<Observed> = fc.record({
  sent: kinds.map((some) => new Set([...some, 'valid' as const])),
  arrived: kinds,
  control: fc.boolean(),
  through: fc.boolean(),
  host: fc.boolean(),
});
const seen = (fields: Partial<Observed>): Observed => ({
  ...{
    sent: new Set(KINDS),
    arrived: new Set<ProbeKind>(['valid']),
    control: true,
    through: false,
    host: false,
  },
  ...fields,
});

describe('a round of probes', () => {
  it('is well when the valid one arrived and no other', () => {
    const { state, outcomes } = judgePeer(seen({}));
    expect(state).toBe('well');
    expect(Object.fromEntries(outcomes)).toEqual({
      valid: 'passed',
      ...Object.fromEntries(FORBIDDEN_KINDS.map((kind) => [kind, 'refused'])),
    });
  });

  it.each<[string, Partial<Observed>, string, string]>([
    ['the peer is away', {}, 'unreachable', 'unreachable'],
    ['its tagqueue is away, and the fence works', { through: true, host: true }, 'silent', 'unanswered'],
    ['the fence refuses what is right', { host: true }, 'broken', 'missing'],
  ])('without an answer: %s', (_what, fields, state, outcome) => {
    const judged = judgePeer(seen({ arrived: new Set(), control: false, ...fields }));
    expect(judged).toMatchObject({ state });
    expect(judged.outcomes.get('valid')).toBe(outcome);
    expect(judged.outcomes.get('forged')).toBe('unproven');
  });

  it('is broken exactly when something arrived that must not, or did not though the peer is there', () => {
    fc.assert(
      fc.property(observed, (round) => {
        const forbidden = FORBIDDEN_KINDS.some((kind) => round.sent.has(kind) && round.arrived.has(kind));
        const missing = !round.arrived.has('valid') && !round.through && round.host;
        const judged = judgePeer(round);
        expect(judged.state === 'broken').toBe(forbidden || missing);
        expect(failuresOf(B, judged, judged).length > 0).toBe(forbidden || missing);
        expect(failuresOf(B, judged, undefined).length > 0).toBe(forbidden);
        expect([...judged.outcomes.keys()].every((kind) => round.sent.has(kind))).toBe(true);
      }),
    );
  });

  it('never calls refused what has no control', () => {
    fc.assert(
      fc.property(observed, (round) => {
        const { outcomes } = judgePeer({ ...round, control: false });
        expect([...outcomes.values()]).not.toContain('refused');
      }),
    );
  });
});

describe('news of failures', () => {
  const failure: fc.Arbitrary<Failure> = fc.record({
    peer: fc.constantFrom('b', 'c').map((name) => name as NodeName),
    kind: fc.constantFrom(...KINDS),
    fence: fc.constantFrom('ours' as const, 'theirs' as const),
  });
  const failures = fc.uniqueArray(failure, { selector: wordOf });

  it('leads from what was known to what is, and repeats nothing', () => {
    fc.assert(
      fc.property(failures, failures, (before, after) => {
        const { begun, over } = newsOf(before, after);
        const gone = new Set(over.map(wordOf));
        const now = [...before.filter((one) => !gone.has(wordOf(one))), ...begun];
        expect(now.map(wordOf).sort()).toEqual(after.map(wordOf).sort());
        expect(new Set(now.map(wordOf)).size).toBe(now.length);
        expect(newsOf(after, after)).toEqual({ begun: [], over: [] });
      }),
    );
  });

  it('says whose fence it was', () => {
    expect(sentenceOf({ peer: B, kind: 'forged', fence: 'theirs' })).toBe(
      'node b let in a packet with a forged tag',
    );
    expect(sentenceOf({ peer: B, kind: 'untagged', fence: 'ours' })).toBe(
      'this node let in a packet without a tag from node b',
    );
    expect(sentenceOf({ peer: B, kind: 'valid', fence: 'theirs' })).toContain('does not arrive');
  });
});
