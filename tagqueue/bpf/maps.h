/* What the programs share with each other and with userland. tagqueue/maps.ts has the same layouts. */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "reasons.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the layouts below and the MAC's byte order are written for little-endian hosts"
#endif

/* Three halves, so that two addresses compare in three steps; wherever one stands, its offset is even. */
struct mac {
  __u16 half[3];
};

enum side {
  SIDE_EXTERNAL = 1,
  SIDE_INTERNAL = 2,
};

/* What the container behind one host-side veth is allowed to be. */
struct port {
  __u32 tag;
  __be32 ip;
  __be32 gateway;
  struct mac mac;
  struct mac gateway_mac;
  __u8 side;
  __u8 pad[3];
};

/* By interface index. An interface that carries the programs and has no entry is shut. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, __u32);
  __type(value, struct port);
} ports SEC(".maps");

/* The cluster's internal addresses, this node's share of them, and the key to stamp with. */
struct conf {
  __be32 pool;
  __be32 pool_mask;
  __be32 own_block;
  __be32 own_mask;
  __u32 epoch;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct conf);
} conf SEC(".maps");

/* The 16 key bytes of an epoch, as two little-endian words. */
struct key {
  __u64 k0;
  __u64 k1;
  __u32 valid;
  __u32 pad;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 256);
  __type(key, __u32);
  __type(value, struct key);
} keys SEC(".maps");

/* EtherTypes (host byte order) allowed besides IPv4 and ARP; the value has no meaning. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 256);
  __type(key, __u16);
  __type(value, __u8);
} ethertypes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, REASON_SLOTS);
  __type(key, __u32);
  __type(value, __u64);
} drops SEC(".maps");

enum count {
  COUNT_TAGGED = 0,
  COUNT_VERIFIED = 1,
  COUNTS = 2,
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, COUNTS);
  __type(key, __u32);
  __type(value, __u64);
} counts SEC(".maps");

enum hook {
  HOOK_PORT_IN = 1,
  HOOK_PORT_OUT = 2,
  HOOK_UPLINK_IN = 3,
  HOOK_UPLINK_OUT = 4,
};

#define HEAD_BYTES 64

/* One refused packet. */
struct drop {
  __u64 ktime_ns;
  __u32 ifindex;
  /* The tenant whose port it is; on an uplink, the packet's mark. */
  __u32 tag;
  __u16 reason;
  __u16 length;
  __u8 hook;
  __u8 captured;
  __u8 pad[2];
  __u8 head[HEAD_BYTES];
};

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 256 * 1024);
} drop_log SEC(".maps");

static __always_inline const struct port *port_of(const struct __sk_buff *skb) {
  __u32 ifindex = skb->ifindex;
  return bpf_map_lookup_elem(&ports, &ifindex);
}

static __always_inline const struct conf *configuration(void) {
  __u32 only = 0;
  return bpf_map_lookup_elem(&conf, &only);
}

static __always_inline const struct key *key_of(__u8 epoch) {
  __u32 index = epoch;
  return bpf_map_lookup_elem(&keys, &index);
}
