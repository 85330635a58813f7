/*
 * The fast path: what has been judged goes from port to port, from a port to the wire, and from the wire to a port,
 * past bridge, routing and netfilter, which have no say in internal traffic anyway. Whatever is not plain (another
 * MAC than the destination's, no time to live left, no route) takes the long way, where the kernel answers it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "account.h"
#include "maps.h"
#include "mark.h"
#include "packet.h"
#include "shape.h"

#define AF_INET 2 /* sys/socket.h draws in headers of the C library that a BPF target does not have */

static __always_inline bool has_fast_path(const struct settings *node) {
  return node->flags & SETTING_FAST_PATH;
}

/* As routing does it; the sum of the header stays what it is (RFC 1141), so a checksum over the packet holds. */
static __always_inline void count_hop(struct iphdr *ip) {
  __u32 check = ip->check + bpf_htons(0x0100);
  ip->check = check + (check > 0xffff);
  ip->ttl--;
}

/*
 * Into the container: straight to the other end of the pair, with nothing of ours left behind: marks are not for
 * containers. Call it at an ingress.
 */
static __always_inline int hand_over(struct __sk_buff *skb, const struct settings *node, const struct port *to) {
  count_received(skb, to);
  set_mark(skb, node, 0);
  return bpf_redirect_peer(to->ifindex, 0);
}

/* The same, at the port's rate where it has one. What its queue drops is not counted. */
static __always_inline int deliver(struct __sk_buff *skb, const struct settings *node, const struct port *to) {
  return is_limited(skb, to->in_class) ? shape_received(skb, to) : hand_over(skb, node, to);
}

/* From the wire, or from a port, to the container whose MAC address the packet does not have yet. */
static __always_inline int deliver_routed(struct __sk_buff *skb, const struct settings *node,
                                          const struct port *to) {
  struct {
    struct mac destination;
    struct mac source;
  } macs = { .destination = to->mac, .source = to->gateway_mac };
  if (bpf_skb_store_bytes(skb, 0, &macs, sizeof(macs), 0)) return TC_ACT_SHOT;
  return deliver(skb, node, to);
}

/* To another node. The kernel finds the next hop's MAC address; uplink_out puts the tag on. */
static __always_inline int send_out(struct __sk_buff *skb, const struct settings *node, struct iphdr *ip) {
  const struct route *route = route_to(ip->daddr);
  /* Options are a router's business (record route, timestamp): the kernel's. */
  if (!route || ip->ttl <= 1 || ip->ihl != IHL_PLAIN) return TC_ACT_OK;
  struct bpf_redir_neigh next_hop = { .nh_family = AF_INET, .ipv4_nh = route->next_hop };
  count_hop(ip);
  if (bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct iphdr, ttl), &ip->ttl, 4, 0)) return TC_ACT_SHOT;
  return bpf_redirect_neigh(node->uplink, &next_hop, sizeof(next_hop), 0);
}
