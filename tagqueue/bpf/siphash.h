/* SipHash-2-4 of exactly 16 bytes (Aumasson and Bernstein, 2012), given as little-endian words. */
#pragma once

#include <linux/types.h>

#define ROTATE_LEFT(x, bits) (((x) << (bits)) | ((x) >> (64 - (bits))))

#define SIPROUND \
  do { \
    v0 += v1; v1 = ROTATE_LEFT(v1, 13); v1 ^= v0; v0 = ROTATE_LEFT(v0, 32); \
    v2 += v3; v3 = ROTATE_LEFT(v3, 16); v3 ^= v2; \
    v0 += v3; v3 = ROTATE_LEFT(v3, 21); v3 ^= v0; \
    v2 += v1; v1 = ROTATE_LEFT(v1, 17); v1 ^= v2; v2 = ROTATE_LEFT(v2, 32); \
  } while (0)

#define COMPRESS(word) \
  do { \
    v3 ^= (word); \
    SIPROUND; \
    SIPROUND; \
    v0 ^= (word); \
  } while (0)

static __always_inline __u64 siphash_16_bytes(__u64 k0, __u64 k1, __u64 first, __u64 second) {
  __u64 v0 = k0 ^ 0x736f6d6570736575ULL;
  __u64 v1 = k1 ^ 0x646f72616e646f6dULL;
  __u64 v2 = k0 ^ 0x6c7967656e657261ULL;
  __u64 v3 = k1 ^ 0x7465646279746573ULL;

  COMPRESS(first);
  COMPRESS(second);
  COMPRESS(16ULL << 56); /* the closing word holds the length */
  v2 ^= 0xff;
  SIPROUND;
  SIPROUND;
  SIPROUND;
  SIPROUND;
  return v0 ^ v1 ^ v2 ^ v3;
}
