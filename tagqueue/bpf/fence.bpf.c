/*
 * The fence: four programs that a packet between containers passes, and two more for those that have a rate.
 *
 *   container ─ port_in ─┐                                          ┌─ port_out ─ container
 *      who sends? mark = tenant   bridge, or the wire:     mark = this port's tenant?
 *                        └─ uplink_out ── tag ──> uplink_in ────────┘
 *                             mark becomes tag      tag becomes mark
 *
 * `in` and `out` are as the host sees it: port_in judges what a container sends. Whatever is not known to be
 * allowed is refused; reasons.h lists why. Classic tc action codes and helpers of kernel 5.15, no kfuncs.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "account.h"
#include "drop.h"
#include "forward.h"
#include "forward6.h"
#include "identity.h"
#include "maps.h"
#include "mark.h"
#include "packet.h"
#include "packet6.h"
#include "quote.h"
#include "shape.h"
#include "tag.h"
#include "tag6.h"
#include "token.h"
#include "tunnel.h"

/* On the fast path the receiver is known at once, and port_out is not asked. */
static __always_inline enum reason judge_receiver(__u32 tenant, const struct port *to) {
  REFUSE_IF(to->tag != tenant, REASON_OTHER_TENANT);
  return ALLOWED;
}

/* A tenant without a container here has no mark, and nobody here to hear from him. */
static __always_inline enum reason mark_tenant(struct __sk_buff *skb, const struct settings *node, __u32 tenant) {
  const __u32 *mark = bpf_map_lookup_elem(&marks, &tenant);
  if (!mark) {
    REFUSE_IF(true, REASON_OTHER_TENANT);
    return ALLOWED;
  }
  set_mark(skb, node, *mark);
  return ALLOWED;
}

/* An interface that is not bound to a container is shut, in both directions. */
static __always_inline enum reason judge_stranger(void) {
  REFUSE_IF(true, REASON_NO_PORT);
  return ALLOWED;
}

static __always_inline enum reason judge_port_out(struct __sk_buff *skb, const struct settings *node,
                                                  const struct port *port) {
  __u32 mark = mark_of(skb, node);
  if (mark == port->mark) return ALLOWED;
  REFUSE_IF(mark != 0, REASON_OTHER_TENANT);
  bool is_arp = skb->protocol == bpf_htons(ETH_P_ARP);
  if (is_arp ? is_arp_of_gateway(skb, port) : port->side == SIDE_EXTERNAL) return ALLOWED;
  REFUSE_IF(mark == 0, REASON_UNTAGGED);
  return ALLOWED;
}

/* As for IPv4, but that the kernel routes none of it: whatever is internal comes from a port. */
static __always_inline enum reason judge_uplink_out6(struct __sk_buff *skb, const struct settings *node) {
  struct ipv6hdr ip;
  if (!has_dual_stack(node)) return ALLOWED;
  long cut_off = load_ipv6(skb, &ip);
  REFUSE_IF(cut_off, REASON_MALFORMED);

  if (!in_pool6(node, &ip.daddr)) {
    REFUSE_IF(in_pool6(node, &ip.saddr), REASON_INTERNAL_LEAK);
    return ALLOWED;
  }
  __u32 tenant = tag_of_mark(skb, node);
  if (!is_tenant(tenant)) {
    REFUSE_IF(true, REASON_UNTAGGED);
    return ALLOWED;
  }
  REFUSE_IF(!in_pool6(node, &ip.saddr) || !in_own_block(node, ipv4_in(&ip.saddr)), REASON_FOREIGN_SOURCE);
  if (node->carrier == CARRIER_VXLAN) {
    bool inside;
    TRY(enter_tunnel6(skb, node, &ip, tenant, &inside));
    if (inside) return ALLOWED;
  }
  struct token token;
  struct iphdr flow = as_ipv4(&ip);
  TRY(make_token(node, &flow, tenant, TOKEN_IN_OPTION6, &token));
  return put_tag6(skb, &ip, &token);
}

static __always_inline enum reason judge_uplink_out(struct __sk_buff *skb, const struct settings *node) {
  struct iphdr ip;
  if (is_ipv6(skb)) return judge_uplink_out6(skb, node);
  if (skb->protocol != bpf_htons(ETH_P_IP)) return ALLOWED;
  long cut_off = load_ipv4(skb, &ip);
  REFUSE_IF(cut_off, REASON_MALFORMED);

  if (!in_pool(node, ip.daddr)) {
    REFUSE_IF(in_pool(node, ip.saddr), REASON_INTERNAL_LEAK);
    return ALLOWED;
  }
  __u32 tenant = tag_of_mark(skb, node);
  if (!is_tenant(tenant)) {
    REFUSE_IF(true, REASON_UNTAGGED);
    return ALLOWED;
  }
  REFUSE_IF(!in_own_block(node, ip.saddr), REASON_FOREIGN_SOURCE);
  if (node->carrier == CARRIER_VXLAN) {
    bool inside;
    TRY(enter_tunnel(skb, node, &ip, tenant, TOKEN_IN_VXLAN, &inside));
    if (inside) return ALLOWED;
  }
  struct token token;
  TRY(make_token(node, &ip, tenant, TOKEN_IN_OPTION, &token));
  return put_tag(skb, &ip, &token);
}

/* What a packet from the wire turned out to be. */
struct arrival {
  struct iphdr ip;
  /* 0: it is not internal. */
  __u32 tenant;
  /* Whether `ip` is another header than the packet has. */
  bool changed;
  /* It is IPv6, with the header `ip6` and not `ip`. */
  bool is_ipv6;
  struct ipv6hdr ip6;
};

static __always_inline enum reason judge_uplink_in6(struct __sk_buff *skb, const struct settings *node,
                                                    struct arrival *arrival) {
  struct ipv6hdr *ip = &arrival->ip6;
  if (!has_dual_stack(node)) return ALLOWED;
  long cut_off = load_ipv6(skb, ip);
  REFUSE_IF(cut_off, REASON_MALFORMED);

  if (!in_pool6(node, &ip->daddr)) {
    REFUSE_IF(in_pool6(node, &ip->saddr), REASON_INTERNAL_LEAK);
    return ALLOWED;
  }
  arrival->is_ipv6 = true;
  if (ip->nexthdr != IPPROTO_DSTOPTS) {
    REFUSE_IF(true, REASON_UNTAGGED);
    return ALLOWED;
  }
  REFUSE_IF(!in_pool6(node, &ip->saddr) || !route_to(ipv4_in(&ip->saddr)), REASON_FOREIGN_SOURCE);
  return take_tag6(skb, ip, &arrival->tenant);
}

static __always_inline enum reason judge_uplink_in(struct __sk_buff *skb, const struct settings *node,
                                                   struct arrival *arrival) {
  struct iphdr *ip = &arrival->ip;
  struct tunnel_inside inside;
  struct quoted_tunnel quote;
  arrival->tenant = 0;
  arrival->changed = true;
  arrival->is_ipv6 = false;
  /*
   * The kernel takes off a priority tag (VLAN 0) and then another one behind it without asking us again
   * (net/core/dev.c, check_vlan_id), so an IPv4 packet could hide in there.
   */
  REFUSE_IF(is_vlan(skb->protocol) && !(skb->vlan_tci & 0x0fff), REASON_VLAN);
  if (is_ipv6(skb)) return judge_uplink_in6(skb, node, arrival);
  if (skb->protocol != bpf_htons(ETH_P_IP)) return ALLOWED;
  long cut_off = load_ipv4(skb, ip);
  REFUSE_IF(cut_off, REASON_MALFORMED);

  if (!in_pool(node, ip->daddr)) {
    REFUSE_IF(in_pool(node, ip->saddr), REASON_INTERNAL_LEAK);
    if (is_for_tunnel(skb, node, ip, &inside)) {
      arrival->is_ipv6 = has_dual_stack(node) && inside.headers.protocol == bpf_htons(ETH_P_IPV6);
      if (arrival->is_ipv6) return leave_tunnel6(skb, node, &inside, ip, &arrival->ip6, &arrival->tenant);
      return leave_tunnel(skb, node, &inside, ip, &arrival->tenant, &arrival->changed);
    }
    if (quotes_tunnel(skb, node, ip, &quote))
      return take_quoted_tunnel(skb, node, &quote, ip, &arrival->tenant);
    return ALLOWED;
  }
  if (is_whole_icmp(ip) && !in_pool(node, ip->saddr))
    return take_quoted_option(skb, node, ip, &arrival->tenant);
  if (ip->ihl == IHL_PLAIN) {
    REFUSE_IF(true, REASON_UNTAGGED);
    return ALLOWED;
  }
  REFUSE_IF(!route_to(ip->saddr), REASON_FOREIGN_SOURCE);
  return take_tag(skb, ip, &arrival->tenant);
}

/* The container sends all its IPv6 to the gateway's MAC address, which is nobody's: it is forwarded here or nowhere. */
static __always_inline int forward_from_port6(struct __sk_buff *skb, const struct settings *node,
                                              const struct port *port) {
  struct ethhdr eth;
  struct ipv6hdr ip;
  if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)) || load_ipv6(skb, &ip)) return TC_ACT_OK;
  if (!same_mac(eth.h_dest, &port->gateway_mac) || !in_pool6(node, &ip.daddr)) return TC_ACT_OK;
  if (!in_own_block(node, ipv4_in(&ip.daddr))) return send_out6(skb, node, port, &ip);
  const struct port *to = port_with6(&ip.daddr);
  if (!to) return TC_ACT_OK;
  enum reason reason = judge_receiver(port->tag, to);
  if (reason != ALLOWED) return refuse(skb, HOOK_PORT_IN, reason);
  return count_hop6(skb, &ip) ? deliver_routed(skb, node, to) : TC_ACT_SHOT;
}

/* Internal traffic to an address that somebody has: on this host, or on the node with its block. */
static __always_inline int forward_from_port(struct __sk_buff *skb, const struct settings *node,
                                             const struct port *port) {
  struct ethhdr eth;
  struct iphdr ip;
  if (port->flags & PORT_DUAL_STACK && is_ipv6(skb)) return forward_from_port6(skb, node, port);
  if (!has_fast_path(node)) return TC_ACT_OK;
  if (port->side != SIDE_INTERNAL || skb->protocol != bpf_htons(ETH_P_IP)) return TC_ACT_OK;
  if (load_header(skb, 0, &eth, sizeof(eth)) || load_ipv4(skb, &ip)) return TC_ACT_OK;
  if (!in_own_block(node, ip.daddr)) {
    return same_mac(eth.h_dest, &port->gateway_mac) ? send_out(skb, node, &ip) : TC_ACT_OK;
  }
  const struct port *to = port_with(ip.daddr);
  if (!to || !same_mac(eth.h_dest, &to->mac)) return TC_ACT_OK;
  enum reason reason = judge_receiver(port->tag, to);
  return reason == ALLOWED ? deliver(skb, node, to) : refuse(skb, HOOK_PORT_IN, reason);
}

/* The same for IPv6. The stack has no use for what is for nobody here, and says so as it always does. */
static __always_inline int bring_in6(struct __sk_buff *skb, const struct settings *node, struct arrival *arrival) {
  const struct port *to = port_with6(&arrival->ip6.daddr);
  enum reason reason = to ? judge_receiver(arrival->tenant, to) : mark_tenant(skb, node, arrival->tenant);
  if (reason != ALLOWED) return refuse(skb, HOOK_UPLINK_IN, reason);
  return to ? deliver_routed(skb, node, to) : TC_ACT_OK;
}

/* A packet that was believed: to its container, or into the stack with its tenant's mark on. */
static __always_inline int bring_in(struct __sk_buff *skb, const struct settings *node, struct arrival *arrival) {
  struct iphdr *ip = &arrival->ip;
  const struct port *to = has_fast_path(node) ? port_with(ip->daddr) : NULL;
  bool fast = to && ip->ttl > 1 && ip->ihl == IHL_PLAIN;
  if (fast) count_hop(ip);
  if ((fast || arrival->changed) &&
      bpf_skb_store_bytes(skb, ETH_HLEN, ip, sizeof(*ip), BPF_F_RECOMPUTE_CSUM))
    return refuse(skb, HOOK_UPLINK_IN, REASON_NO_ROOM);
  enum reason reason = fast ? judge_receiver(arrival->tenant, to) : mark_tenant(skb, node, arrival->tenant);
  if (reason != ALLOWED) return refuse(skb, HOOK_UPLINK_IN, reason);
  return fast ? deliver_routed(skb, node, to) : TC_ACT_OK;
}

/* tc ingress of a container's host-side veth: what the container sends. */
SEC("tc")
int port_in(struct __sk_buff *skb) {
  const struct settings *node = node_settings();
  const struct port *port = port_of(skb);
  if (!node) return TC_ACT_SHOT; /* cannot happen, but the verifier does not know */
  if (!port) return verdict(skb, HOOK_PORT_IN, judge_stranger());
  enum reason reason = check_identity(skb, port);
  if (reason != ALLOWED) return refuse(skb, HOOK_PORT_IN, reason);
  set_mark(skb, node, port->mark);
  count_sent(skb, port);
  return is_limited(skb, port->out_class) ? shape_sent(skb, port) : forward_from_port(skb, node, port);
}

/*
 * What a limited container sends to all enters the bridge by the shaper's port, so the bridge does not know that it
 * should leave out the sender.
 */
static __always_inline bool is_echo(struct __sk_buff *skb, const struct port *port) {
  struct ethhdr eth;
  if (!port->out_class || !is_flooded(skb, HOOK_PORT_OUT)) return false;
  return !load_header(skb, 0, &eth, sizeof(eth)) && same_mac(eth.h_source, &port->mac);
}

/* tc egress of a container's host-side veth: what the container would receive. */
SEC("tc")
int port_out(struct __sk_buff *skb) {
  const struct settings *node = node_settings();
  const struct port *port = port_of(skb);
  if (!node) return TC_ACT_SHOT; /* as above */
  if (!port) return verdict(skb, HOOK_PORT_OUT, judge_stranger());
  enum reason reason = judge_port_out(skb, node, port);
  if (reason != ALLOWED) return refuse(skb, HOOK_PORT_OUT, reason);
  if (is_echo(skb, port)) return TC_ACT_SHOT;
  if (is_limited(skb, port->in_class)) return shape_received(skb, port);
  count_received(skb, port);
  return TC_ACT_OK;
}

/* tc ingress of a shaper's in end: what a container has sent, at its rate. It was judged and counted at the port. */
SEC("tc")
int shaped_out(struct __sk_buff *skb) {
  const struct settings *node = node_settings();
  const struct port *port = port_behind_queue(skb);
  if (!node || !port) return TC_ACT_SHOT;
  set_mark(skb, node, port->mark);
  return forward_from_port(skb, node, port);
}

/* tc ingress of a shaper's out end: what a container is to receive, at its rate. */
SEC("tc")
int shaped_in(struct __sk_buff *skb) {
  const struct settings *node = node_settings();
  const struct port *port = port_behind_queue(skb);
  return node && port ? hand_over(skb, node, port) : TC_ACT_SHOT;
}

/* tc egress of the node's uplink. The mark means nothing beyond this host: it is cleared. */
SEC("tc")
int uplink_out(struct __sk_buff *skb) {
  const struct settings *node = node_settings();
  if (!node) return TC_ACT_SHOT; /* as above */
  int action = verdict(skb, HOOK_UPLINK_OUT, judge_uplink_out(skb, node));
  set_mark(skb, node, 0);
  return action;
}

/* tc ingress of the node's uplink. A mark that came in from elsewhere is worth nothing. */
SEC("tc")
int uplink_in(struct __sk_buff *skb) {
  const struct settings *node = node_settings();
  struct arrival arrival;
  if (!node) return TC_ACT_SHOT; /* as above */
  set_mark(skb, node, 0);
  enum reason reason = judge_uplink_in(skb, node, &arrival);
  if (reason != ALLOWED) return refuse(skb, HOOK_UPLINK_IN, reason);
  if (arrival.tenant && arrival.is_ipv6) return bring_in6(skb, node, &arrival);
  return arrival.tenant ? bring_in(skb, node, &arrival) : TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
