/** What a round of probes says of a peer, and what of that is news. Pure. */
import { FORBIDDEN_KINDS, type ProbeKind } from '../../model/fence-probe.ts';
import type { NodeName } from '../../model/names.ts';

/** What was seen of one round with one peer. */
export interface Observed {
  readonly sent: ReadonlySet<ProbeKind>;
  /** Kinds that the peer has answered. */
  readonly arrived: ReadonlySet<ProbeKind>;
  /** Whether a right packet arrived that was made and sent by the same means as the wrong ones. */
  readonly control: boolean;
  /** Looked at only when the valid probe was not answered: whether the peer's kernel answers through the fence… */
  readonly through: boolean;
  /** …and at its uplink address, without the fence. */
  readonly host: boolean;
}

/**
 * `passed` and `refused` are as it should be; `arrived` (it should not have) and `missing` (it should have) are
 * not. The others prove nothing: the means did not work, nobody answers for the peer, or it cannot be reached.
 */
export type Outcome =
  | 'passed'
  | 'refused'
  | 'arrived'
  | 'missing'
  | 'unproven'
  | 'unanswered'
  | 'unreachable';
export const OUTCOMES: readonly Outcome[] = [
  ...(['passed', 'refused', 'arrived', 'missing'] as const),
  ...(['unproven', 'unanswered', 'unreachable'] as const),
];

/** `silent`: its kernel answers and its tagqueue does not. */
export type PeerState = 'well' | 'broken' | 'silent' | 'unreachable';

export interface Judgement {
  readonly state: PeerState;
  readonly outcomes: ReadonlyMap<ProbeKind, Outcome>;
}

export function judgePeer(seen: Observed): Judgement {
  const valid = judgeValid(seen);
  const outcomes = new Map<ProbeKind, Outcome>([['valid', valid]]);
  for (const kind of FORBIDDEN_KINDS) if (seen.sent.has(kind)) outcomes.set(kind, judgeForbidden(seen, kind));
  const broken = [...outcomes.values()].some((outcome) => outcome === 'arrived' || outcome === 'missing');
  return { state: broken ? 'broken' : STATES[valid], outcomes };
}

function judgeValid({
  arrived,
  through,
  host,
}: Observed): 'passed' | 'missing' | 'unanswered' | 'unreachable' {
  if (arrived.has('valid')) return 'passed';
  if (through) return 'unanswered';
  return host ? 'missing' : 'unreachable';
}

const STATES = {
  passed: 'well',
  missing: 'broken',
  unanswered: 'silent',
  unreachable: 'unreachable',
} as const;

/** That it did not come means something only when a right one came by the same means. */
function judgeForbidden({ arrived, control }: Observed, kind: ProbeKind): Outcome {
  if (arrived.has(kind)) return 'arrived';
  return control ? 'refused' : 'unproven';
}

/** Something that is wrong between this node and a peer. */
export interface Failure {
  readonly peer: NodeName;
  readonly kind: ProbeKind;
  /** Whose fence failed: the peer's, which our probe has shown; or ours, which let a probe of the peer in. */
  readonly fence: 'theirs' | 'ours';
}

/**
 * What must not arrive and did is a failure at once. What did not arrive is one in the second round: a node that is
 * being put up answers pings before it lets anything through.
 * @param before  of the peer's last round; undefined: this is its first
 */
export function failuresOf(
  peer: NodeName,
  { outcomes }: Judgement,
  before: Judgement | undefined,
): Failure[] {
  const stillMissing = before?.outcomes.get('valid') === 'missing';
  return [...outcomes]
    .filter(([, outcome]) => outcome === 'arrived' || (outcome === 'missing' && stillMissing))
    .map(([kind]) => ({ peer, kind, fence: 'theirs' }));
}

export function wordOf({ peer, kind, fence }: Failure): string {
  return `${peer}/${kind}/${fence}`;
}

/** What is to be said aloud: each failure once when it begins, and once when it is over. */
export function newsOf(
  before: readonly Failure[],
  after: readonly Failure[],
): { readonly begun: readonly Failure[]; readonly over: readonly Failure[] } {
  const [old, now] = [new Set(before.map(wordOf)), new Set(after.map(wordOf))];
  return {
    begun: after.filter((one) => !old.has(wordOf(one))),
    over: before.filter((one) => !now.has(wordOf(one))),
  };
}

/** For people. */
export function sentenceOf({ peer, kind, fence }: Failure): string {
  if (kind === 'valid') return `what may reach node ${peer} does not arrive there`;
  const what = WORDS[kind];
  return fence === 'ours' ? `this node let in ${what} from node ${peer}` : `node ${peer} let in ${what}`;
}

const WORDS: Readonly<Record<Exclude<ProbeKind, 'valid'>, string>> = {
  'wrong-tenant': "a packet of another tenant's",
  forged: 'a packet with a forged tag',
  expired: 'a packet with a tag of an expired key',
  'unknown-epoch': 'a packet with a tag of an unknown key',
  untagged: 'a packet without a tag',
};
