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

/* Whose packet it is: the port's owner, else whom the mark names. */
static __always_inline __u32 tag_of_refused(struct __sk_buff *skb) {
  const struct port *port = port_of(skb);
  if (port) return port->tag;
  const struct settings *node = node_settings();
  return node ? tag_of_mark(skb, node) : 0;
}

static __always_inline void count_drop(__u32 tag, enum reason reason) {
  struct tenant_reason key = {.tag = tag, .reason = reason};
  __u64 one = 1;
  increment(&drops, reason);
  __u64 *packets = bpf_map_lookup_elem(&drop_counts, &key);
  /* Should another CPU be the first as well, its entry stands and ours is added to it. */
  if (!packets && bpf_map_update_elem(&drop_counts, &key, &one, BPF_NOEXIST))
    packets = bpf_map_lookup_elem(&drop_counts, &key);
  if (packets) __sync_fetch_and_add(packets, 1);
}

/*
 * Each tenant's share of the log is 200 packets a second, 100 at once (GCRA, ITU-T I.371): whoever floods fills
 * neither the ring nor the reader's time, and the events of others are not lost. Two CPUs may both take the last one.
 */
#define LOG_EVERY_NS 5000000ULL
#define LOG_AT_ONCE_NS (100 * LOG_EVERY_NS)

static __always_inline bool has_share(__u32 tag) {
  __u64 now = bpf_ktime_get_ns();
  __u64 first = now + LOG_EVERY_NS;
  __u64 *used_until = bpf_map_lookup_elem(&drop_shares, &tag);
  if (!used_until) return bpf_map_update_elem(&drop_shares, &tag, &first, BPF_ANY) == 0;
  if (*used_until > now + LOG_AT_ONCE_NS) return false;
  *used_until = (*used_until > now ? *used_until : now) + LOG_EVERY_NS;
  return true;
}

/* A full ring means that nobody reads, or that very many flood at once: the packet is then only counted. */
static __always_inline void log_drop(struct __sk_buff *skb, enum hook hook, enum reason reason, __u32 tag) {
  struct drop *drop = bpf_ringbuf_reserve(&drop_log, sizeof(*drop), 0);
  if (!drop) return;
  __u32 length = skb->len;

  __builtin_memset(drop, 0, sizeof(*drop));
  drop->ktime_ns = bpf_ktime_get_ns();
  drop->ifindex = skb->ifindex;
  drop->tag = tag;
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
  __u32 tag = tag_of_refused(skb);
  count_drop(tag, reason);
  if (!is_flooded(skb, hook) && has_share(tag)) log_drop(skb, hook, reason, tag);
  return TC_ACT_SHOT;
}

static __always_inline int verdict(struct __sk_buff *skb, enum hook hook, enum reason reason) {
  return reason == ALLOWED ? TC_ACT_OK : refuse(skb, hook, reason);
}
