/** Memory that the plane and one of its workers share: orders to the worker, its counters, and the packets it refused. */
import { DROP_BYTES } from '../drop-record.ts';

/** Counters: 64 reasons, then these. */
export const REASON_SLOTS = 64;
export const COUNTER = { tagged: 64, verified: 65, overruns: 66, refusedVerdicts: 67, packets: 68 } as const;
const COUNTERS = 72;

/** Orders and signs of life, each a 32-bit word. */
export const WORD = {
  /** 1: end. */
  stop: 0,
  /** Counts the facts that were posted; before the next packet the worker takes up the newest. */
  posted: 1,
  /** The newest that it has taken up. */
  taken: 2,
  /** 1 while it reads its queue. */
  reading: 3,
  /** 1 while somebody watches refused packets. */
  watched: 4,
  /** How many refused packets were written down so far. */
  written: 5,
} as const;
const WORDS = 16;

export const LOG_RECORDS = 512;

/** A tenant and a reason in one number, and how many of them are told apart; the reason takes six bits. */
const TENANT_SLOTS = 1_024;

export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  /** Doubles count exactly up to 2^53; each worker writes its own. */
  readonly counters: Float64Array;
  /** Refused packets by tenant and reason: a slot is taken by its first packet, and 0 is none. */
  readonly tenantKeys: Int32Array;
  readonly tenantCounts: Float64Array;
  /** Records of drop-record.ts, one after the other and round again. */
  readonly log: DataView;
}

/** @param buffer  of another thread; a new one by default */
export function sharedMemory(buffer?: SharedArrayBuffer): SharedMemory {
  const wordBytes = WORDS * 4;
  const counterBytes = COUNTERS * 8;
  const tenantBytes = TENANT_SLOTS * (8 + 4);
  const memory =
    buffer ?? new SharedArrayBuffer(wordBytes + counterBytes + tenantBytes + LOG_RECORDS * DROP_BYTES);
  const tenants = wordBytes + counterBytes;
  return {
    buffer: memory,
    words: new Int32Array(memory, 0, WORDS),
    counters: new Float64Array(memory, wordBytes, COUNTERS),
    tenantCounts: new Float64Array(memory, tenants, TENANT_SLOTS),
    tenantKeys: new Int32Array(memory, tenants + TENANT_SLOTS * 8, TENANT_SLOTS),
    log: new DataView(memory, tenants + tenantBytes),
  };
}

export function count(counters: Float64Array, index: number): void {
  counters[index] = (counters[index] ?? 0) + 1;
}

/** A combination for which there is no slot any more is in the sum of its reason alone. */
export function countForTenant(
  { tenantKeys, tenantCounts }: Pick<SharedMemory, 'tenantKeys' | 'tenantCounts'>,
  tag: number,
  reason: number,
): void {
  const key = tag * REASON_SLOTS + reason;
  for (let step = 0; step < TENANT_SLOTS; step++) {
    const slot = (key + step) % TENANT_SLOTS;
    if (tenantKeys[slot] !== 0 && tenantKeys[slot] !== key) continue;
    tenantKeys[slot] = key;
    count(tenantCounts, slot);
    return;
  }
}

export interface RefusedOfTenant {
  readonly tag: number;
  readonly reason: number;
  readonly packets: number;
}

export function countsByTenant({
  tenantKeys,
  tenantCounts,
}: Pick<SharedMemory, 'tenantKeys' | 'tenantCounts'>): RefusedOfTenant[] {
  return [...tenantKeys].flatMap((key, slot) => {
    if (key === 0) return [];
    return [
      {
        tag: Math.floor(key / REASON_SLOTS),
        reason: key % REASON_SLOTS,
        packets: tenantCounts[slot] ?? 0,
      },
    ];
  });
}
