/* Counts what has passed the fence, by interface of a container. */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

/* Per-CPU and not preempted: no atomic needed. A port without an account is one of a plane that is being replaced. */
static __always_inline void count_sent(const struct __sk_buff *skb, const struct port *port) {
  struct account *account = bpf_map_lookup_elem(&accounts, &port->account);
  if (!account) return;
  account->sent_bytes += skb->len;
  account->sent_packets++;
}

static __always_inline void count_received(const struct __sk_buff *skb, const struct port *port) {
  struct account *account = bpf_map_lookup_elem(&accounts, &port->account);
  if (!account) return;
  account->received_bytes += skb->len;
  account->received_packets++;
}
