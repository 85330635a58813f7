/** What the probes have shown so far: said aloud when it changes, counted, and told to whoever asks. */
import type { ProbeKind } from '../../model/fence-probe.ts';
import type { Log } from '../../model/log.ts';
import type { NodeName } from '../../model/names.ts';
import {
  type Failure,
  failuresOf,
  type Judgement,
  judgePeer,
  newsOf,
  type Observed,
  type PeerState,
  sentenceOf,
  wordOf,
} from './judge.ts';

export interface ProbeReport {
  /** Peers by how they were found in their last round. */
  readonly peers: Readonly<Record<PeerState, number>>;
  /** The first few that are not well, for people. */
  readonly unwell: readonly { readonly node: NodeName; readonly state: PeerState }[];
  /** What is wrong with the fence, in sentences. */
  readonly failures: readonly string[];
}

export interface Findings {
  note(peer: NodeName, seen: Observed): void;
  /** A probe of a kind that must not arrive has arrived here. @param holdMs  how long it counts */
  letIn(peer: NodeName, kind: ProbeKind, holdMs: number): void;
  /** Forgets peers that the cluster has no more. */
  keepOnly(peers: readonly NodeName[]): void;
  report(): ProbeReport;
  /** How many probes came to what, as `KIND/OUTCOME`. */
  readonly counts: ReadonlyMap<string, number>;
}

const MOST_NAMED = 10;

export function createFindings(log: Log): Findings {
  const judged = new Map<
    NodeName,
    { readonly judgement: Judgement; readonly failures: readonly Failure[] }
  >();
  const letIn = new Map<string, { readonly failure: Failure; readonly untilMs: number }>();
  const counts = new Map<string, number>();
  let told: readonly Failure[] = [];

  function failures(): Failure[] {
    const now = performance.now();
    for (const [word, { untilMs }] of letIn) if (untilMs < now) letIn.delete(word);
    return [
      ...[...judged.values()].flatMap((one) => one.failures),
      ...[...letIn.values()].map(({ failure }) => failure),
    ];
  }
  function tell(): void {
    const now = failures();
    const { begun, over } = newsOf(told, now);
    for (const one of begun) log.error({ ...one }, `the fence is broken: ${sentenceOf(one)}`);
    for (const one of over)
      log.info({ ...one }, `the fence holds again: no longer seen that ${sentenceOf(one)}`);
    told = now;
  }

  return {
    counts,
    note(peer, seen): void {
      const judgement = judgePeer(seen);
      for (const [kind, outcome] of judgement.outcomes) {
        counts.set(`${kind}/${outcome}`, (counts.get(`${kind}/${outcome}`) ?? 0) + 1);
      }
      judged.set(peer, { judgement, failures: failuresOf(peer, judgement, judged.get(peer)?.judgement) });
      tell();
    },
    letIn(peer, kind, holdMs): void {
      const failure: Failure = { peer, kind, fence: 'ours' };
      letIn.set(wordOf(failure), { failure, untilMs: performance.now() + holdMs });
      tell();
    },
    keepOnly(peers): void {
      const kept = new Set(peers);
      for (const peer of judged.keys()) if (!kept.has(peer)) judged.delete(peer);
      tell();
    },
    report(): ProbeReport {
      const states = { well: 0, broken: 0, silent: 0, unreachable: 0 };
      for (const { judgement } of judged.values()) states[judgement.state] += 1;
      const unwell = [...judged]
        .filter(([, { judgement }]) => judgement.state !== 'well')
        .map(([node, { judgement }]) => ({ node, state: judgement.state }));
      return { peers: states, unwell: unwell.slice(0, MOST_NAMED), failures: failures().map(sentenceOf) };
    },
  };
}
