/** SipHash-2-4 with a 64-bit result (Aumasson and Bernstein, 'SipHash: a fast short-input PRF', 2012). */

const WORD = (1n << 64n) - 1n;

/** The algorithm's four words. */
interface State {
  v0: bigint;
  v1: bigint;
  v2: bigint;
  v3: bigint;
}

function rotateLeft(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (64n - bits))) & WORD;
}

function round(s: State): void {
  s.v0 = (s.v0 + s.v1) & WORD;
  s.v1 = rotateLeft(s.v1, 13n) ^ s.v0;
  s.v0 = rotateLeft(s.v0, 32n);
  s.v2 = (s.v2 + s.v3) & WORD;
  s.v3 = rotateLeft(s.v3, 16n) ^ s.v2;
  s.v0 = (s.v0 + s.v3) & WORD;
  s.v3 = rotateLeft(s.v3, 21n) ^ s.v0;
  s.v2 = (s.v2 + s.v1) & WORD;
  s.v1 = rotateLeft(s.v1, 17n) ^ s.v2;
  s.v2 = rotateLeft(s.v2, 32n);
}

function compress(state: State, word: bigint): void {
  state.v3 ^= word;
  round(state);
  round(state);
  state.v0 ^= word;
}

/**
 * For tests, tools and vectors; packets are hashed by the eBPF programs.
 * @param key  16 bytes
 * @returns 8 bytes, in the order of the reference implementation
 */
export function siphash24(key: Uint8Array, message: Uint8Array): Buffer {
  if (key.length !== 16) throw new RangeError(`a SipHash key has 16 bytes, not ${key.length}`);
  const [k0, k1] = [word(key, 0), word(key, 8)];
  const state = {
    v0: k0 ^ 0x736f6d6570736575n,
    v1: k1 ^ 0x646f72616e646f6dn,
    v2: k0 ^ 0x6c7967656e657261n,
    v3: k1 ^ 0x7465646279746573n,
  };
  const whole = message.length - (message.length % 8);
  for (let at = 0; at < whole; at += 8) compress(state, word(message, at));
  compress(state, closingWord(message, whole));
  state.v2 ^= 0xffn;
  for (let i = 0; i < 4; i++) round(state);

  const result = Buffer.alloc(8);
  result.writeBigUInt64LE(state.v0 ^ state.v1 ^ state.v2 ^ state.v3);
  return result;
}

function word(bytes: Uint8Array, at: number): bigint {
  return Buffer.from(bytes.subarray(at, at + 8)).readBigUInt64LE();
}

/** What is left of the message, and its length modulo 256 in the highest byte. */
function closingWord(message: Uint8Array, from: number): bigint {
  const last = Buffer.alloc(8);
  last.set(message.subarray(from));
  last[7] = message.length & 0xff;
  return last.readBigUInt64LE();
}
