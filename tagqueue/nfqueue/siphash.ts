/**
 * SipHash-2-4 of exactly 16 bytes, for the packet path: 64-bit words as halves, because numbers of 64 bits are objects
 * in JavaScript, and an object per packet is too much. tagqueue/siphash.ts is the readable one.
 */

/** The 16 bytes as four little-endian words, low half first. */
export type KeyWords = Uint32Array;

/** Where the result goes: low half, high half. Used again by the next call. */
export const mac = new Uint32Array(2);

/** How many rounds: two for each of the message's two words and the closing one, then four. */
const ROUNDS = 10;
/** The closing word holds the length in its highest byte. */
const CLOSING_HIGH = 16 << 24;

/**
 * Hashes the words (aLow, aHigh), (bLow, bHigh) into `mac`.
 * @param at  where the key begins in `keys`, in words
 */
export function siphash(
  keys: KeyWords,
  at: number,
  aLow: number,
  aHigh: number,
  bLow: number,
  bHigh: number,
): void {
  const k0l = word(keys, at);
  const k0h = word(keys, at + 1);
  const k1l = word(keys, at + 2);
  const k1h = word(keys, at + 3);
  let v0l = k0l ^ 0x70736575;
  let v0h = k0h ^ 0x736f6d65;
  let v1l = k1l ^ 0x6e646f6d;
  let v1h = k1h ^ 0x646f7261;
  let v2l = k0l ^ 0x6e657261;
  let v2h = k0h ^ 0x6c796765;
  let v3l = k1l ^ 0x79746573 ^ aLow;
  let v3h = k1h ^ 0x74656462 ^ aHigh;
  for (let round = 1; round <= ROUNDS; round++) {
    // v0 += v1; v2 += v3
    let low = (v0l >>> 0) + (v1l >>> 0);
    v0h = (v0h + v1h + (low > 0xffff_ffff ? 1 : 0)) | 0;
    v0l = low | 0;
    low = (v2l >>> 0) + (v3l >>> 0);
    v2h = (v2h + v3h + (low > 0xffff_ffff ? 1 : 0)) | 0;
    v2l = low | 0;
    // v1 = rotate(v1, 13) ^ v0; v3 = rotate(v3, 16) ^ v2; v0 = rotate(v0, 32)
    let high = ((v1h << 13) | (v1l >>> 19)) ^ v0h;
    v1l = ((v1l << 13) | (v1h >>> 19)) ^ v0l;
    v1h = high;
    high = ((v3h << 16) | (v3l >>> 16)) ^ v2h;
    v3l = ((v3l << 16) | (v3h >>> 16)) ^ v2l;
    v3h = high;
    high = v0l;
    v0l = v0h;
    v0h = high;
    // v2 += v1; v0 += v3
    low = (v2l >>> 0) + (v1l >>> 0);
    v2h = (v2h + v1h + (low > 0xffff_ffff ? 1 : 0)) | 0;
    v2l = low | 0;
    low = (v0l >>> 0) + (v3l >>> 0);
    v0h = (v0h + v3h + (low > 0xffff_ffff ? 1 : 0)) | 0;
    v0l = low | 0;
    // v1 = rotate(v1, 17) ^ v2; v3 = rotate(v3, 21) ^ v0; v2 = rotate(v2, 32)
    high = ((v1h << 17) | (v1l >>> 15)) ^ v2h;
    v1l = ((v1l << 17) | (v1h >>> 15)) ^ v2l;
    v1h = high;
    high = ((v3h << 21) | (v3l >>> 11)) ^ v0h;
    v3l = ((v3l << 21) | (v3h >>> 11)) ^ v0l;
    v3h = high;
    high = v2l;
    v2l = v2h;
    v2h = high;
    if (round === 2) {
      v0l ^= aLow;
      v0h ^= aHigh;
      v3l ^= bLow;
      v3h ^= bHigh;
    } else if (round === 4) {
      v0l ^= bLow;
      v0h ^= bHigh;
      v3h ^= CLOSING_HIGH;
    } else if (round === 6) {
      v0h ^= CLOSING_HIGH;
      v2l ^= 0xff;
    }
  }
  mac[0] = v0l ^ v1l ^ v2l ^ v3l;
  mac[1] = v0h ^ v1h ^ v2h ^ v3h;
}

function word(words: Uint32Array, at: number): number {
  return words[at] ?? 0;
}
