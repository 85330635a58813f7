/*
 * The packet mark is shared with whoever else sets marks on this host. In the bits that are ours (settings.mark_mask)
 * it carries a tenant's index on this node, 0 meaning nobody; all others are left as they are.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

static __always_inline __u32 mark_of(const struct __sk_buff *skb, const struct settings *node) {
  return skb->mark & node->mark_mask;
}

static __always_inline void set_mark(struct __sk_buff *skb, const struct settings *node, __u32 mark) {
  skb->mark = (skb->mark & ~node->mark_mask) | mark;
}

/* The tag of the tenant that the mark means; 0 when it means nobody. */
static __always_inline __u32 tag_of_mark(const struct __sk_buff *skb, const struct settings *node) {
  __u32 index = mark_of(skb, node) >> (node->mark_shift & 31);
  const __u32 *tag = bpf_map_lookup_elem(&tenants, &index);
  return index && tag ? *tag : 0;
}
