/* How a packet is refused: every check is one REFUSE_IF, and every refusal is counted and logged in one place. */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "mark.h"
#include "reasons.h"

/*
 * The number of a reason whose checks are left out: `-DMUTANT=23` builds a fence that believes forged tags.
 * The tests build one mutant per reason to prove that each check is needed and that they would notice its loss.
 */
#ifndef MUTANT
#define MUTANT (-1)
#endif

/* Ends the judgement with `reason`. The condition must have no side effect: a mutant does not evaluate it. */
#define REFUSE_IF(condition, reason) \
  do { \
    if ((int)(reason) != MUTANT && (condition)) return (reason); \
  } while (0)

/* Ends the judgement when the part of it that `judgement` stands for refused. */
#define TRY(judgement) \
  do { \
    enum reason refused = (judgement); \
    if (refused != ALLOWED) return refused; \
  } while (0)

static __always_inline void increment(void *map, __u32 index) {
  /* Per-CPU and not preempted: no atomic needed. */
  __u64 *counter = bpf_map_lookup_elem(map, &index);
  if (counter) (*counter)++;
}

/* As much of the frame's beginning as fits; nothing of one that has no Ethernet header. */
static __always_inline void capture_head(struct __sk_buff *skb, struct drop *drop) {
  __u32 bytes = skb->len;
  if (bytes < ETH_HLEN) return;
  barrier_var(bytes); /* else clang merges both comparisons into one that kernel 6.1's verifier cannot follow */
  if (bytes > HEAD_BYTES) bytes = HEAD_BYTES;
  if (bpf_skb_load_bytes(skb, 0, drop->head, bytes) == 0) drop->captured = bytes;
}

/* A full ring means that nobody reads or somebody floods: the packet is then only counted. */
static __always_inline void log_drop(struct __sk_buff *skb, enum hook hook, enum reason reason) {
  struct drop *drop = bpf_ringbuf_reserve(&drop_log, sizeof(*drop), 0);
  if (!drop) return;
  const struct port *port = port_of(skb);
  const struct settings *node = node_settings();
  __u32 length = skb->len;

  __builtin_memset(drop, 0, sizeof(*drop));
  drop->ktime_ns = bpf_ktime_get_ns();
  drop->ifindex = skb->ifindex;
  drop->tag = port ? port->tag : node ? tag_of_mark(skb, node) : 0;
  drop->reason = reason;
  drop->length = length < 0xffff ? length : 0xffff;
  drop->hook = hook;
  capture_head(skb, drop);
  /* Readers poll: waking one per packet would let a flood buy CPU time. */
  bpf_ringbuf_submit(drop, BPF_RB_NO_WAKEUP);
}

/* The bridge copies every broadcast to every port. That other tenants do not get it is no event. */
static __always_inline bool is_flooded(struct __sk_buff *skb, enum hook hook) {
  return hook == HOOK_PORT_OUT && (skb->pkt_type == PACKET_BROADCAST || skb->pkt_type == PACKET_MULTICAST);
}

static __noinline int refuse(struct __sk_buff *skb, enum hook hook, enum reason reason) {
  increment(&drops, reason);
  if (!is_flooded(skb, hook)) log_drop(skb, hook, reason);
  return TC_ACT_SHOT;
}

static __always_inline int verdict(struct __sk_buff *skb, enum hook hook, enum reason reason) {
  return reason == ALLOWED ? TC_ACT_OK : refuse(skb, hook, reason);
}
