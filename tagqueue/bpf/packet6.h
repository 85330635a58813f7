/* IPv6: internal addresses, and the headers by which the two carriers carry such packets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "packet.h"

static __always_inline bool is_ipv6(const struct __sk_buff *skb) {
  return skb->protocol == bpf_htons(ETH_P_IPV6);
}

static __always_inline bool has_dual_stack(const struct settings *node) {
  return node->flags & SETTING_DUAL_STACK;
}

/* An internal IPv6 address is the cluster's 96 bits and an IPv4 address. */
static __always_inline bool in_pool6(const struct settings *node, const struct in6_addr *address) {
  const __be32 *words = address->in6_u.u6_addr32;
  return words[0] == node->pool6[0] && words[1] == node->pool6[1] && words[2] == node->pool6[2] &&
         in_pool(node, words[3]);
}

static __always_inline __be32 ipv4_in(const struct in6_addr *address) {
  return address->in6_u.u6_addr32[3];
}

static __always_inline bool is_multicast6(const struct in6_addr *address) {
  return address->in6_u.u6_addr8[0] == 0xff;
}

/* fe80::/10 (RFC 4291). */
static __always_inline bool is_link_local(const struct in6_addr *address) {
  return (address->in6_u.u6_addr32[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

static __always_inline bool is_unspecified(const struct in6_addr *address) {
  const __be32 *words = address->in6_u.u6_addr32;
  return !(words[0] | words[1] | words[2] | words[3]);
}

/* Zero, or a negative error when the packet is too short; `ip` is zeroed then. */
static __always_inline long load_ipv6(struct __sk_buff *skb, struct ipv6hdr *ip) {
  return bpf_skb_load_bytes(skb, ETH_HLEN, ip, sizeof(*ip));
}

static __always_inline __u32 length_of(const struct ipv6hdr *ip) {
  return sizeof(*ip) + bpf_ntohs(ip->payload_len);
}

/*
 * What tokens and tunnel want of a packet, said in IPv4's words. A packet whose length these cannot say
 * is too long to be carried as well.
 */
static __always_inline struct iphdr as_ipv4(const struct ipv6hdr *ip) {
  return (struct iphdr){
    .version = 4,
    .ihl = IHL_PLAIN,
    .tos = ip->priority << 4 | ip->flow_lbl[0] >> 4,
    .tot_len = bpf_htons(length_of(ip)),
    .ttl = ip->hop_limit,
    .protocol = ip->nexthdr,
    .saddr = ipv4_in(&ip->saddr),
    .daddr = ipv4_in(&ip->daddr),
  };
}
