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
 * It goes byte by byte: a position that packets choose has the verifier of Linux 6.1 try all ways there are, and give up.
 */
static __noinline bool are_harmless_options(struct __sk_buff *skb, __u32 offset, __u32 length) {
  __u8 options[MOST_OPTION_BYTES + 1] = { 0 };
  __u32 inside = 0; /* bytes of the present option that are still to come */
  /* Linux before 6.8 learns from `length != 0` nothing about the least length. So it is told how much there is beyond
     one byte, and clang must not put both together again. */
  __u32 further = length - 1;
  barrier_var(further);
  if (further >= MOST_OPTION_BYTES || bpf_skb_load_bytes(skb, offset, options, further + 1)) return false;
  for (__u32 at = 0; at < MOST_OPTION_BYTES; at++) {
    if (at >= length) return true;
    if (inside > 0) {
      inside--;
      continue;
    }
    __u8 type = options[at];
    if (type == OPTION_END) return true;
    if (type == OPTION_NOTHING) continue;
    __u8 bytes = options[at + 1];
    if (is_harmful_option(type) || bytes < 2 || at + bytes > length) return false;
    inside = bytes - 1;
  }
  return true;
}
