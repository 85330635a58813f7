/**
 * What a rate means. The shaper counts whole frames as the container's interface sees them: the Ethernet header of 14
 * bytes in, checksum, preamble and the tag of the wire not.
 */

/** Whether a rate counts frames, or what full segments of TCP carry. */
export type RateMeaning = 'wire' | 'goodput';

const ETHERNET = 14;
const IPV4 = 20;
/** TCP with timestamps, which every kernel sends by default. */
const TCP = 32;

/**
 * The rate of frames that gives a rate its meaning. Pure.
 * @param rate  bits a second
 * @param mtu  of the container's interface, bytes
 */
export function rateOfFrames(rate: number, meaning: RateMeaning, mtu: number): number {
  if (meaning === 'wire') return rate;
  return Math.round((rate * (mtu + ETHERNET)) / (mtu - IPV4 - TCP));
}
