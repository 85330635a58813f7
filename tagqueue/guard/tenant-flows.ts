/** One tenant's flows as the guard sees them: those it does not know yet, those it refused, those that hold places. */

import { UNSEEN_RULE } from '../../model/guard.ts';
import { type Beginning, beginFlow, LONGEST_SILENCE_MS } from './beginning.ts';
import { flowKey, type GuardedPacket } from './packet.ts';
import type { Decision, FlowFacts, Policy } from './policy.ts';
import type { Recognised } from './recognise.ts';

/** What happens to a packet. */
export type Outcome =
  /** It passes, and so does all that follows, without being shown again. */
  | 'release'
  /** It passes; the next one is shown too. */
  | 'pass'
  | 'refuse';

export interface Judgement {
  readonly outcome: Outcome;
  /** Set once per flow, when it is decided. */
  readonly decided?: {
    readonly verdict: Decision['verdict'];
    readonly rule: string;
    readonly seen: Recognised | undefined;
  };
}

/** Bounds of one tenant's memory: beyond them the oldest is forgotten, and a forgotten beginning is refused. */
export const MOST_BEGINNINGS = 1_024;
export const MOST_BEGINNING_BYTES = 4 * 2 ** 20;
export const MOST_REFUSED = 4_096;
export const MOST_HOLDING = 65_536;
/** A refused flow that tries again within this time is not counted as another one. */
const REFUSED_MS = 5_000;

interface Unknown {
  readonly beginning: Beginning;
  readonly leave: Decision['leave'];
}

interface Refused {
  readonly rule: string;
  readonly sequence: number | undefined;
  readonly until: number;
}

interface Holding {
  readonly leave: readonly (() => void)[];
  readonly since: number;
}

const PASS: Judgement = { outcome: 'pass' };
const REFUSE: Judgement = { outcome: 'refuse' };

export class TenantFlows {
  readonly #policy: Policy;
  readonly #unknown = new Map<string, Unknown>();
  readonly #refused = new Map<string, Refused>();
  readonly #holding = new Map<string, Holding>();
  #beginningBytes = 0;

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  /** Entries and bytes held, for those who watch that they stay bounded. */
  get held(): {
    readonly beginnings: number;
    readonly beginningBytes: number;
    readonly refused: number;
    readonly holding: number;
  } {
    return {
      beginnings: this.#unknown.size,
      beginningBytes: this.#beginningBytes,
      refused: this.#refused.size,
      holding: this.#holding.size,
    };
  }

  /** @param now  ms, of a clock that never goes back */
  judge(packet: GuardedPacket, now: number): Judgement {
    const key = flowKey(packet);
    if (this.#isRefused(key, packet, now)) return REFUSE;
    const known = this.#unknown.get(key);
    if (known?.beginning.continues(packet) === true) return this.#goOn(key, known, packet, now);
    if (known !== undefined) this.#forget(key, known);
    return this.#begin(key, packet, now);
  }

  /** Takes in a flow that was released before this process knew of it. */
  adopt(key: string, now: number): void {
    if (this.#holding.has(key)) return;
    const leave = this.#policy.occupy(now);
    if (leave !== undefined) this.#hold(key, [leave], now);
  }

  /**
   * Forgets the flows that have ended.
   * @param live  keys of the tenant's released flows
   * @param at    when they were looked at: later ones cannot be among them
   */
  retain(live: ReadonlySet<string>, at: number): void {
    for (const [key, { leave, since }] of this.#holding) {
      if (since >= at || live.has(key)) continue;
      this.#holding.delete(key);
      for (const one of leave) one();
    }
  }

  /** Forgets beginnings and refusals that have become old. */
  expire(now: number): void {
    for (const [key, { until }] of this.#refused) {
      if (until > now) break;
      this.#refused.delete(key);
    }
    for (const [key, unknown] of this.#unknown) {
      if (now - unknown.beginning.since <= LONGEST_SILENCE_MS) break;
      this.#forget(key, unknown);
    }
  }

  #begin(key: string, packet: GuardedPacket, now: number): Judgement {
    const beginning = beginFlow(packet, now);
    if (beginning === undefined) return this.#refuse(key, packet, UNSEEN_RULE, undefined, now);
    const admitted = this.#policy.admit(now);
    if (admitted.verdict === 'deny') return this.#refuse(key, packet, admitted.rule, undefined, now);
    const early = this.#policy.decide(factsOf(packet, undefined), now);
    if (early !== undefined) return this.#settle(key, packet, admitted.leave, early, undefined, now);
    const unknown = { beginning, leave: admitted.leave };
    this.#remember(key, unknown);
    return this.#goOn(key, unknown, packet, now);
  }

  #goOn(key: string, unknown: Unknown, packet: GuardedPacket, now: number): Judgement {
    const before = unknown.beginning.size;
    const seen = unknown.beginning.add(packet, now);
    if (seen === undefined) {
      this.#beginningBytes += unknown.beginning.size - before;
      this.#makeRoom();
      return PASS;
    }
    this.#unknown.delete(key);
    this.#beginningBytes -= before;
    const decision = this.#policy.decide(factsOf(packet, seen), now);
    // A policy that is told everything always decides.
    if (decision === undefined) return this.#refuse(key, packet, '', seen, now);
    return this.#settle(key, packet, unknown.leave, decision, seen, now);
  }

  #settle(
    key: string,
    packet: GuardedPacket,
    admission: Decision['leave'],
    { verdict, rule, leave }: Decision,
    seen: Recognised | undefined,
    now: number,
  ): Judgement {
    const places = [admission, leave].filter((place) => place !== undefined);
    if (verdict === 'deny') {
      for (const place of places) place();
      return this.#refuse(key, packet, rule, seen, now);
    }
    const decided = { verdict, rule, seen };
    if (seen?.protocol === 'dns' && packet.tcp === undefined && this.#policy.judgesEveryQuestion) {
      for (const place of places) place();
      return { outcome: 'pass', decided };
    }
    if (places.length > 0) this.#hold(key, places, now);
    return { outcome: 'release', decided };
  }

  #hold(key: string, leave: readonly (() => void)[], now: number): void {
    const earlier = this.#holding.get(key);
    if (earlier !== undefined) for (const one of earlier.leave) one();
    this.#holding.delete(key);
    this.#holding.set(key, { leave, since: now });
    if (this.#holding.size <= MOST_HOLDING) return;
    // Its places stay taken until the next rules: too strict is the safe side.
    for (const oldest of this.#holding.keys()) {
      this.#holding.delete(oldest);
      break;
    }
  }

  #refuse(
    key: string,
    packet: GuardedPacket,
    rule: string,
    seen: Recognised | undefined,
    now: number,
  ): Judgement {
    this.#refused.delete(key);
    this.#refused.set(key, { rule, sequence: firstNumber(packet), until: now + REFUSED_MS });
    forgetOldest(this.#refused, MOST_REFUSED);
    return { outcome: 'refuse', decided: { verdict: 'deny', rule, seen } };
  }

  #isRefused(key: string, packet: GuardedPacket, now: number): boolean {
    const refused = this.#refused.get(key);
    if (refused === undefined) return false;
    const first = firstNumber(packet);
    const isAnother = first !== undefined && first !== refused.sequence;
    if (!isAnother && refused.until > now) return true;
    this.#refused.delete(key);
    return false;
  }

  #remember(key: string, unknown: Unknown): void {
    this.#unknown.set(key, unknown);
    this.#beginningBytes += unknown.beginning.size;
    this.#makeRoom();
  }

  #makeRoom(): void {
    for (const [key, unknown] of this.#unknown) {
      if (this.#unknown.size <= MOST_BEGINNINGS && this.#beginningBytes <= MOST_BEGINNING_BYTES) return;
      this.#forget(key, unknown);
    }
  }

  #forget(key: string, { beginning, leave }: Unknown): void {
    this.#unknown.delete(key);
    this.#beginningBytes -= beginning.size;
    leave?.();
  }
}

/** The number that a TCP flow begins with; undefined for every other packet. */
function firstNumber({ tcp }: GuardedPacket): number | undefined {
  return tcp?.syn === true && !tcp.ack ? tcp.sequence : undefined;
}

function factsOf({ destination, destinationPort }: GuardedPacket, seen: Recognised | undefined): FlowFacts {
  return { destination, port: destinationPort === 0 ? undefined : destinationPort, seen };
}

function forgetOldest(map: Map<string, unknown>, most: number): void {
  for (const key of map.keys()) {
    if (map.size <= most) return;
    map.delete(key);
  }
}
