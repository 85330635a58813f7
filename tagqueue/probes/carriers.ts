/** Tries every carrier between this node and its peers: which of them the fabric lets through, and how fast (`sluice doctor`). */
import type { Carrier } from '../../model/carrier.ts';
import { encodeProbe, PROBE_BYTES } from '../../model/fence-probe.ts';
import type { NodeName } from '../../model/names.ts';
import { CRAFTED_CARRIERS } from './craft.ts';
import { type Means, sendBy, type Target } from './exchange.ts';

export interface CarrierFinding {
  readonly carrier: Carrier;
  /** Small packets, and those that fill the wire. */
  readonly small: Passage;
  readonly full: Passage;
}

export interface Passage {
  readonly sent: number;
  readonly answered: number;
  /** Half of the round trips took no longer; null when none was answered. */
  readonly medianMs: number | null;
}

export interface PeerCarriers {
  readonly peer: NodeName;
  /** Empty: the peer's link address is not known, so nothing could be sent. */
  readonly carriers: readonly CarrierFinding[];
}

const ROUND_TRIPS = 20;
/** Without an answer to the first few there is no use in waiting for more. */
const TRIES = 3;
const ANSWER_MS = 300;

/** @param fullBytes  of a message that, with IPv4 and UDP headers, is as long as a container may send */
export async function tryCarriers(
  means: Means,
  target: Target,
  fullBytes: number,
): Promise<CarrierFinding[]> {
  const found: CarrierFinding[] = [];
  for (const carrier of CRAFTED_CARRIERS) {
    const small = await passage(means, target, carrier, PROBE_BYTES);
    const full = await passage(means, target, carrier, Math.max(PROBE_BYTES, fullBytes));
    found.push({ carrier, small, full });
  }
  return found;
}

/** One after the other; the answers come back by the same carrier. */
async function passage(means: Means, target: Target, carrier: Carrier, bytes: number): Promise<Passage> {
  const times: number[] = [];
  let sent = 0;
  while (sent < ROUND_TRIPS && (times.length > 0 || sent < TRIES)) {
    const shot = means.echoes.expect('valid', target.gateway);
    const probe = { type: 'probe', kind: 'valid', id: shot.id, receivedAt: 0n, answerBy: carrier } as const;
    if (!(await sendBy(carrier, means, target, encodeProbe(probe, bytes)))) break;
    const begun = performance.now();
    sent += 1;
    if (await shot.answered(ANSWER_MS)) times.push(performance.now() - begun);
    means.echoes.forget([shot]);
  }
  return passageOf(sent, times);
}

function passageOf(sent: number, times: readonly number[]): Passage {
  const sorted = times.toSorted((a, b) => a - b);
  return { sent, answered: times.length, medianMs: sorted[Math.floor(sorted.length / 2)] ?? null };
}
