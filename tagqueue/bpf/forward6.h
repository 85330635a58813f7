/*
 * IPv6 between containers: from port to port, to the wire, from the wire to a port. The nodes' kernels do not
 * route it, so this is its only way, and not only a fast one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "forward.h"
#include "maps.h"
#include "packet6.h"
#include "tag6.h"

static __always_inline bool count_hop6(struct __sk_buff *skb, struct ipv6hdr *ip) {
  if (ip->hop_limit <= 1) return false;
  ip->hop_limit--;
  return !bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, hop_limit), &ip->hop_limit, 1,
                              BPF_F_RECOMPUTE_CSUM);
}

/* The container that has the address, if it has an IPv6 address at all. */
static __always_inline const struct port *port_with6(const struct in6_addr *address) {
  const struct port *port = port_with(ipv4_in(address));
  return port && port->flags & PORT_DUAL_STACK ? port : NULL;
}

/*
 * To another node, by the IPv4 next hop. As long as the kernel does not know that one's MAC address the packet
 * goes in the tunnel: as IPv4 it may wait for the neighbour's answer, and whoever receives takes both carriers.
 */
static __always_inline int send_out6(struct __sk_buff *skb, const struct settings *node, const struct port *port,
                                     struct ipv6hdr *ip) {
  const struct route *route = route_to(ipv4_in(&ip->daddr));
  if (!route || !count_hop6(skb, ip)) return TC_ACT_OK;
  struct bpf_fib_lookup next = {
    .family = AF_INET,
    .ipv4_src = node->uplink_ip,
    .ipv4_dst = route->next_hop,
    .ifindex = node->uplink,
  };
  long found = bpf_fib_lookup(skb, &next, sizeof(next), BPF_FIB_LOOKUP_OUTPUT);
  if (found == BPF_FIB_LKUP_RET_SUCCESS && next.ifindex == node->uplink) {
    struct {
      __u8 destination[ETH_ALEN];
      __u8 source[ETH_ALEN];
    } macs;
    __builtin_memcpy(macs.destination, next.dmac, ETH_ALEN);
    __builtin_memcpy(macs.source, next.smac, ETH_ALEN);
    if (bpf_skb_store_bytes(skb, 0, &macs, sizeof(macs), 0)) return TC_ACT_SHOT;
    return bpf_redirect(node->uplink, 0);
  }
  bool inside;
  struct bpf_redir_neigh next_hop = { .nh_family = AF_INET, .ipv4_nh = route->next_hop };
  enum reason reason = enter_tunnel6(skb, node, ip, port->tag, &inside);
  if (reason != ALLOWED) return refuse(skb, HOOK_PORT_IN, reason);
  if (!inside) return TC_ACT_SHOT; /* in a tunnel already, or uncut; the neighbour will be known soon */
  return bpf_redirect_neigh(node->uplink, &next_hop, sizeof(next_hop), 0);
}
