/* What both carriers carry: a tenant, signed for one pair of addresses. The format is docs/tag-wire-format.md. */
#pragma once

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>

#include "drop.h"
#include "maps.h"
#include "siphash.h"

#define TAG_VERSION 1

/* Under the MAC, so that what one carrier signed is worth nothing to another, nor to the other family. */
enum token_carrier {
  TOKEN_IN_OPTION = 0,
  TOKEN_IN_VXLAN = 1,
  TOKEN_IN_OPTION6 = 2,
  TOKEN_IN_VXLAN6 = 3,
};

struct token {
  __u64 mac;
  __u32 tenant;
  __u8 version;
  __u8 epoch;
  __u8 carrier;
};

/* A tenant's number on the wire is not 0 and fits the token's 24 bits. */
static __always_inline bool is_tenant(__u32 tag) {
  return tag != 0 && tag <= 0xffffff;
}

static __always_inline __u64 token_mac(const struct key *key, const struct iphdr *ip, const struct token *token) {
  __u64 addresses = (__u64)ip->saddr | (__u64)ip->daddr << 32;
  __u64 rest = (__u64)token->version | (__u64)token->epoch << 8 | (__u64)ip->protocol << 16 |
               (__u64)token->carrier << 24;
  __u64 tenant = bpf_htonl(token->tenant & 0xffffff);
  return siphash_16_bytes(key->k0, key->k1, addresses, rest | tenant << 32);
}

/* Signs with the key of the present epoch. */
static __always_inline enum reason make_token(const struct settings *node, const struct iphdr *ip, __u32 tenant,
                                              enum token_carrier carrier, struct token *token) {
  *token = (struct token){
    .tenant = tenant,
    .version = TAG_VERSION,
    .epoch = node->epoch,
    .carrier = carrier,
  };
  const struct key *key = key_of(token->epoch);
  if (!key) return REASON_NO_KEY; /* cannot happen, but the verifier does not know */
  REFUSE_IF(!key->valid, REASON_NO_KEY);
  token->mac = token_mac(key, ip, token);
  return ALLOWED;
}

static __always_inline enum reason check_token(const struct iphdr *ip, const struct token *token) {
  REFUSE_IF(token->version != TAG_VERSION, REASON_TAG_VERSION);
  const struct key *key = key_of(token->epoch);
  if (!key) return REASON_TAG_EPOCH; /* the map has all 256: this is for the verifier */
  REFUSE_IF(!key->valid, REASON_TAG_EPOCH);
  REFUSE_IF(token->mac != token_mac(key, ip, token), REASON_TAG_FORGED);
  return ALLOWED;
}
