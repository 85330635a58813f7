/** What the counters of an interface say about a limit: rates on the wire, the first second, when a new rate holds. */
import type { Protocol } from './cells.ts';

/** Counters of the receiver's interface, and what its program got. */
export interface Sample {
  /** Of CLOCK_MONOTONIC. */
  readonly atMs: number;
  /** With 14 bytes of Ethernet header for each packet. */
  readonly bytes: number;
  /** A packet may hold many segments of TCP. */
  readonly packets: number;
  readonly payloadBytes: number;
}

export interface Trace {
  readonly protocol: Protocol;
  /** When the first byte was sent. */
  readonly startedMs: number;
  /** Payload of a full segment in bytes; 0 for UDP. */
  readonly mss: number;
  /** Segments. */
  readonly retransmitted: number;
  /** The connection was over before its time. */
  readonly reset: boolean;
  /** Every 5 ms. */
  readonly samples: readonly Sample[];
  /** Times of at least 10 ms in which the receiving program got nothing. */
  readonly silences: readonly { readonly fromMs: number; readonly lengthMs: number }[];
}

/** Ethernet, IPv4, and TCP with timestamps: of each segment on the wire, and of each packet of the interface. */
const TCP_HEADERS = 14 + 20 + 32;

/**
 * Bits a second of the frames between two moments, as they are on a wire. An interface counts a packet of many
 * segments with one header only, so of TCP the payload is taken from its counters, and each full segment's header
 * added. UDP is counted as it is.
 * @throws RangeError when the trace does not reach so far
 */
export function wireRate(trace: Trace, fromMs: number, toMs: number): number {
  const [start, end] = [at(trace, fromMs), at(trace, toMs)];
  const bytes = end.bytes - start.bytes;
  const perSecond = 8_000 / (toMs - fromMs);
  if (trace.protocol === 'udp') return bytes * perSecond;
  const payload = bytes - (end.packets - start.packets) * TCP_HEADERS;
  return payload * (1 + TCP_HEADERS / trace.mss) * perSecond;
}

/** Bits a second of the payload that the receiving program got. */
export function goodput(trace: Trace, fromMs: number, toMs: number): number {
  return ((at(trace, toMs).payloadBytes - at(trace, fromMs).payloadBytes) * 8_000) / (toMs - fromMs);
}

const FIRST_MS = 1_000;

export interface Shares {
  /** Wire bits / target from the second second on. */
  readonly steady: number;
  /** Wire bits of the first second / target. */
  readonly first: number;
  /** Payload / target from the second second on. */
  readonly goodput: number;
}

/** @param target  bits a second of frames */
export function sharesOf(trace: Trace, target: number): Shares {
  const second = trace.startedMs + FIRST_MS;
  const end = trace.samples.at(-1)?.atMs ?? second;
  return {
    steady: wireRate(trace, second, end) / target,
    first: wireRate(trace, trace.startedMs, second) / target,
    goodput: goodput(trace, second, end) / target,
  };
}

const BIN_MS = 20;
const STEP_MS = 5;
/** So long must the new rate be kept to within {@link MEAN}, and in each bin to within {@link EACH}. */
const HOLD_MS = 200;
const MEAN = 0.1;
/** At 10 Mbit/s a bin is 16 full packets, of which some may fall on either side. */
const EACH = 0.3;

/**
 * How long after a change its rate holds: from then on 200 ms are within 10 % of it, and each 20 ms of these within
 * 30 %.
 * @returns ms in steps of 5; undefined when it does not within the trace
 */
export function holdsAfter(trace: Trace, changedMs: number, target: number): number | undefined {
  const end = trace.samples.at(-1)?.atMs ?? 0;
  for (let afterMs = 0; changedMs + afterMs + HOLD_MS <= end; afterMs += STEP_MS) {
    if (holds(trace, changedMs + afterMs, target)) return afterMs;
  }
  return undefined;
}

function holds(trace: Trace, fromMs: number, target: number): boolean {
  const near = (rate: number, share: number): boolean => Math.abs(rate / target - 1) <= share;
  if (!near(wireRate(trace, fromMs, fromMs + HOLD_MS), MEAN)) return false;
  const bins = Array.from({ length: HOLD_MS / BIN_MS }, (_, index) => fromMs + index * BIN_MS);
  return bins.every((bin) => near(wireRate(trace, bin, bin + BIN_MS), EACH));
}

/** The longest time, in ms, in which the receiving program got nothing; what was before or after is no part of it. */
export function longestStall({ silences }: Trace, fromMs: number, toMs: number): number {
  const within = silences.map((one) => {
    return Math.min(one.fromMs + one.lengthMs, toMs) - Math.max(one.fromMs, fromMs);
  });
  return Math.max(0, ...within);
}

/** Between two samples, what lies between. */
function at({ samples }: Trace, ms: number): Sample {
  const next = samples.findIndex(({ atMs }) => atMs >= ms);
  const after = samples[next];
  if (after === undefined) throw new RangeError('the trace ends before');
  const before = samples[next - 1] ?? after;
  const share = after === before ? 0 : (ms - before.atMs) / (after.atMs - before.atMs);
  const between = (one: number, other: number): number => one + (other - one) * share;
  return {
    atMs: ms,
    bytes: between(before.bytes, after.bytes),
    packets: between(before.packets, after.packets),
    payloadBytes: between(before.payloadBytes, after.payloadBytes),
  };
}
