/* Reading and rewriting headers. All devices here are Ethernet: the network header starts at ETH_HLEN. */
#pragma once

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

#define IHL_PLAIN 5 /* an IPv4 header without options, in words of 4 bytes */
#define LONGEST_PACKET 0xffff

#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1fff

static __always_inline bool same_mac(const void *a, const struct mac *b) {
  const struct mac *left = a;
  return left->half[0] == b->half[0] && left->half[1] == b->half[1] && left->half[2] == b->half[2];
}

static __always_inline bool is_vlan(__be16 ethertype) {
  return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

static __always_inline bool in_pool(const struct settings *node, __be32 address) {
  return (address & node->pool_mask) == node->pool;
}

static __always_inline bool in_own_block(const struct settings *node, __be32 address) {
  return (address & node->own_mask) == node->own_block;
}

static __always_inline bool is_loopback(__be32 address) {
  return (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

/* 224.0.0.0/4 and 255.255.255.255 (RFC 5771, RFC 919). */
static __always_inline bool is_multicast_or_broadcast(__be32 address) {
  return (address & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) || address == bpf_htonl(0xffffffff);
}

/*
 * Zero, or a negative error when the packet is too short; `to` is zeroed then. Asking the kernel takes longer than
 * reading what lies in the packet's first piece, as headers do unless somebody scattered them. Offset and size are
 * constants, both even; what follows an Ethernet header is read by words (the kernel's NET_IP_ALIGN).
 */
static __always_inline long load_header(struct __sk_buff *skb, __u32 offset, void *to, __u32 size) {
  void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
  if (data + offset + size > end) return bpf_skb_load_bytes(skb, offset, to, size);
  if (offset % 4 == ETH_HLEN % 4)
    __builtin_memcpy(to, __builtin_assume_aligned(data + offset, 4), size);
  else
    __builtin_memcpy(to, __builtin_assume_aligned(data + offset, 2), size);
  return 0;
}

static __always_inline long load_ipv4(struct __sk_buff *skb, struct iphdr *ip) {
  return load_header(skb, ETH_HLEN, ip, sizeof(*ip));
}

/* Adds up words for an Internet checksum, which does not mind their width or byte order (RFC 1071). */
static __always_inline __u64 sum_of_words(const __u32 *words, int count) {
  __u64 sum = 0;
  for (int i = 0; i < count; i++) sum += words[i];
  return sum;
}

/* What takes the words out of a sum again: in one's complement, their complement. */
static __always_inline __u64 less_words(const __u32 *words, int count) {
  __u64 sum = 0;
  for (int i = 0; i < count; i++) sum += (__u32)~words[i];
  return sum;
}

static __always_inline __sum16 fold_checksum(__u64 sum) {
  for (int i = 0; i < 4; i++) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}
