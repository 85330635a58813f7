/**
 * How a class is made so that its rate holds from the first second and nobody waits long: what it may save up, how
 * long its packets may be, how much may wait. Pure.
 */

/** Bits a second. What stands for 'unlimited' where a class must have a rate, and the most that one may have. */
export const UNLIMITED_RATE = 2 ** 40;

export interface Shape {
  /** Bytes. */
  readonly burst: number;
  /** Bytes in turn when classes share what is left. */
  readonly quantum: number;
  /** Packets of several segments that are longer are cut. Bytes. */
  readonly longest: number;
  /** Bytes that may wait. */
  readonly limit: number;
}

const ETHERNET = 14;
/** A packet of many segments, with the header that each of them will have. */
const LARGEST_PACKET = 128 * 1024;
/** Small packets take up to twelve times their length in memory: this many bytes of them, some 25 MB. */
const LARGEST_QUEUE = 2 * 1024 * 1024;
const LARGEST_QUANTUM = 200_000;

/**
 * The timer that wakes a class may be late by milliseconds on a busy machine, and what it could not save up until
 * then is lost: hence 10 ms of the rate. Slow classes may save up 64 KiB, as long as that is no more than 20 ms: 2 % of
 * their first second. Packets are cut to 1 ms of the rate, or each would make all others wait for its time, 52 ms for
 * 64 KiB at 10 Mbit; and those that wait when a rate is lowered to a tenth take ten times as long as they were to. The
 * queue holds 25 ms, and ten frames where the rate is very low.
 * @param rate  bits a second
 * @param mtu  of the containers' interfaces, bytes
 */
export function shapeOf(rate: number, mtu: number): Shape {
  const frame = mtu + ETHERNET;
  const millisecond = rate / 8_000;
  const bytes = (wanted: number, least: number, most: number): number =>
    Math.round(Math.max(least, Math.min(wanted, most)));
  const longest = bytes(millisecond, frame, LARGEST_PACKET);
  return {
    burst: bytes(Math.max(10 * millisecond, Math.min(65_536, 20 * millisecond)), 2 * frame, 1e9),
    quantum: bytes(4 * millisecond, frame, LARGEST_QUANTUM),
    longest,
    limit: bytes(25 * millisecond, 10 * frame, LARGEST_QUEUE),
  };
}
