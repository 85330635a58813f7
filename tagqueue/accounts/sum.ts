/** One account's counters, as every CPU has counted them for itself, added up. */
import type { Counters } from '../../model/usage.ts';

/** Of struct account: four 64-bit counters (tagqueue/bpf/maps.h). */
const COUNTERS_EACH = 4;

/**
 * @param values  struct account of every CPU, one behind the other
 * @returns the sums, of which the lowest 64 bits count
 */
export function sumAccount(values: Buffer): Counters {
  // In halves, because a BigInt for each CPU's counter costs ten times as much; so many halves add up exactly.
  const low = [0, 0, 0, 0];
  const high = [0, 0, 0, 0];
  for (let at = 0, which = 0; at < values.length; at += 8, which = (which + 1) % COUNTERS_EACH) {
    low[which] = (low[which] ?? 0) + values.readUInt32LE(at);
    high[which] = (high[which] ?? 0) + values.readUInt32LE(at + 4);
  }
  const sum = (which: number): bigint =>
    BigInt.asUintN(64, BigInt(low[which] ?? 0) + (BigInt(high[which] ?? 0) << 32n));
  return { sentBytes: sum(0), sentPackets: sum(1), receivedBytes: sum(2), receivedPackets: sum(3) };
}
