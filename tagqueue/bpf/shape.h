/*
 * Rates. Packets of a limited port make a detour through a pair of interfaces, which have a tree of queues at either
 * end: into the egress of one, past the queue, and out of the other, where a program of ours takes them on. All that
 * could be decided before has been decided by then.
 *
 *   port_in ─> out end ▒ HTB ▒ ─> in end: shaped_out ─> port, wire, or bridge
 *   a packet for a port ─> in end ▒ HTB ▒ ─> out end: shaped_in ─> container
 */
#pragma once

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

/* The trees' own handle, in the upper half of a class id (linux/pkt_sched.h). */
#define SHAPER_TREE 0x00010000

/* Questions for addresses never wait: without an answer nothing else flows. */
static __always_inline bool is_limited(const struct __sk_buff *skb, __u16 class) {
  return class && skb->protocol != bpf_htons(ETH_P_ARP);
}

/*
 * The packet bears its port through the queue as its hash, which a veth pair leaves alone, unlike priority and
 * control block; the mark has no room for it. Nothing else gets into these interfaces, so it needs no proof.
 */
static __always_inline int pass_queue(struct __sk_buff *skb, const struct port *port, __u32 end, __u16 class) {
  bpf_set_hash(skb, port->ifindex);
  skb->priority = SHAPER_TREE | class;
  return bpf_redirect(end, 0);
}

static __always_inline int shape_sent(struct __sk_buff *skb, const struct port *port) {
  const struct shaper *shaper = shaper_of(port);
  return shaper ? pass_queue(skb, port, shaper->out, port->out_class) : TC_ACT_SHOT;
}

static __always_inline int shape_received(struct __sk_buff *skb, const struct port *port) {
  const struct shaper *shaper = shaper_of(port);
  return shaper ? pass_queue(skb, port, shaper->in, port->in_class) : TC_ACT_SHOT;
}

/* Behind the queue: whose packet it is. NULL: nobody's, because the port is gone or somebody else uses the pair. */
static __always_inline const struct port *port_behind_queue(struct __sk_buff *skb) {
  __u32 ifindex = skb->hash;
  bpf_set_hash_invalid(skb);
  return bpf_map_lookup_elem(&ports_by_index, &ifindex);
}
