/* IPv4 options (RFC 791): which of them may pass the fence. */
#pragma once

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define TAG_OPTION 0x9e /* copied into fragments, class 0, number 30: experimental (RFC 4727) */
#define TAG_BYTES 16
/* Of the 40 that there are, what the tag leaves. */
#define MOST_OPTION_BYTES 24

#define OPTION_END 0
#define OPTION_NOTHING 1
#define OPTION_LOOSE_SOURCE_ROUTE 0x83
#define OPTION_STRICT_SOURCE_ROUTE 0x89

static __always_inline bool is_harmful_option(__u8 type) {
  return type == TAG_OPTION || type == OPTION_LOOSE_SOURCE_ROUTE || type == OPTION_STRICT_SOURCE_ROUTE;
}

/*
 * Whether `length` bytes of options at `offset` can be walked from end to end, and none of them is a tag or says
 * where the packet has to go. Not inlined: two programs and some branches ask, and the walk is long for the verifier.
 */
static __noinline bool are_harmless_options(struct __sk_buff *skb, __u32 offset, __u32 length) {
  __u8 options[32] = { 0 }; /* a power of two, for the mask below */
  __u32 at = 0;
  barrier_var(length); /* else clang leaves out the comparison with 1, which the verifier wants to see */
  if (length < 1 || length > MOST_OPTION_BYTES || bpf_skb_load_bytes(skb, offset, options, length)) return false;
  for (int i = 0; i < MOST_OPTION_BYTES; i++) {
    if (at >= length) return true;
    __u8 type = options[at & 31];
    if (type == OPTION_END) return true;
    if (type == OPTION_NOTHING) {
      at++;
      continue;
    }
    __u8 bytes = options[(at + 1) & 31];
    if (is_harmful_option(type) || at + 1 >= length || bytes < 2 || at + bytes > length) return false;
    at += bytes;
  }
  return true;
}
