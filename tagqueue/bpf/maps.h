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

enum port_flag {
  /* The container also has the IPv6 address that its IPv4 address gives. */
  PORT_DUAL_STACK = 2,
};

/* What the container behind one host-side veth is allowed to be. */
struct port {
  __u64 account;
  __u32 tag;
  /* The tenant's index on this node, in the bits of the mark that are ours. */
  __u32 mark;
  __u32 ifindex;
  __be32 ip;
  __be32 gateway;
  struct mac mac;
  struct mac gateway_mac;
  __u8 side;
  __u8 flags;
  /* Its classes in the trees of `shapers`, for what it sends and what it receives; 0: unlimited. */
  __u16 out_class;
  __u16 in_class;
  __u8 pad[2];
};

/* By interface index. An interface that carries the programs and has no entry is shut. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, __u32);
  __type(value, struct port);
} ports_by_index SEC(".maps");

/* The same ports by internal address: whom a packet for it is for. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, __be32);
  __type(value, struct port);
} ports_by_ip SEC(".maps");

/* A side's pair of interfaces: what containers send waits at one end's egress, what they receive at the other's. */
struct shaper {
  __u32 out;
  __u32 in;
};

/* By side. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SIDE_INTERNAL + 1);
  __type(key, __u32);
  __type(value, struct shaper);
} shapers SEC(".maps");

#define TENANT_INDEXES 65536

/* Tenants with containers here: by their index, which the mark carries, the tag that the wire carries; 0: nobody. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, TENANT_INDEXES);
  __type(key, __u32);
  __type(value, __u32);
} tenants SEC(".maps");

/* And back: by tag the mark, index already in its place. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, TENANT_INDEXES);
  __type(key, __u32);
  __type(value, __u32);
} marks SEC(".maps");

enum carrier {
  CARRIER_OPTION = 1,
  CARRIER_VXLAN = 2,
};

enum setting {
  /* Between containers packets go from port to port or to the wire, past bridge, routing and netfilter. */
  SETTING_FAST_PATH = 1,
  /* Internal addresses have IPv6 counterparts in `pool6`. */
  SETTING_DUAL_STACK = 2,
  /* The uplink is a network card: what leaves it is cut to packets of the wire. */
  SETTING_CARD = 4,
};

/* The cluster's internal addresses, this node's share of them, how packets are carried, and the key to stamp with. */
struct settings {
  __be32 pool;
  __be32 pool_mask;
  __be32 own_block;
  __be32 own_mask;
  __u32 epoch;
  /* The bits of the packet mark that are ours, and how far they are from bit 0. */
  __u32 mark_mask;
  __u32 mark_shift;
  __u32 uplink;
  __be32 uplink_ip;
  __be16 vxlan_port;
  /* What is sent; both are accepted. */
  __u8 carrier;
  __u8 flags;
  /* The first 96 bits of internal IPv6 addresses; the IPv4 address is the rest. */
  __be32 pool6[3];
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct settings);
} settings SEC(".maps");

struct block {
  __u32 prefix_length;
  __be32 network;
};

/* Where a block of internal addresses is: the node that has it, and the next hop towards it. */
struct route {
  __be32 node;
  __be32 next_hop;
};

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, struct block);
  __type(value, struct route);
} routes SEC(".maps");

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

/* What one interface of a container has sent and received, as its own counters would have it. */
struct account {
  __u64 sent_bytes;
  __u64 sent_packets;
  __u64 received_bytes;
  __u64 received_packets;
};

/* By account id, which is never given twice. Made by userland before the port is bound. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 131072);
  __type(key, __u64);
  __type(value, struct account);
} accounts SEC(".maps");

/* Whose account it is. Not for the programs: userland keeps it where the figures are, so that none is ever without. */
struct account_name {
  __u32 tag;
  __u8 side;
  __u8 pad[3];
  char container[128];
  char ifname[16];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 131072);
  __type(key, __u64);
  __type(value, struct account_name);
} account_names SEC(".maps");

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
  /* The tenant whose port it is; on an uplink, whom the packet's mark means; 0: nobody. */
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

/* How many packets of a tenant (tag 0: nobody's) were refused for a reason. */
struct tenant_reason {
  __u32 tag;
  __u32 reason;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, struct tenant_reason);
  __type(value, __u64);
} drop_counts SEC(".maps");

/* By tag: until when (ktime, ns) the tenant has used up its share of the log. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, __u32);
  __type(value, __u64);
} drop_shares SEC(".maps");

static __always_inline const struct port *port_of(const struct __sk_buff *skb) {
  __u32 ifindex = skb->ifindex;
  return bpf_map_lookup_elem(&ports_by_index, &ifindex);
}

static __always_inline const struct shaper *shaper_of(const struct port *port) {
  __u32 side = port->side;
  return bpf_map_lookup_elem(&shapers, &side);
}

static __always_inline const struct port *port_with(__be32 address) {
  return bpf_map_lookup_elem(&ports_by_ip, &address);
}

static __always_inline const struct settings *node_settings(void) {
  __u32 only = 0;
  return bpf_map_lookup_elem(&settings, &only);
}

static __always_inline const struct route *route_to(__be32 address) {
  struct block host = { .prefix_length = 32, .network = address };
  return bpf_map_lookup_elem(&routes, &host);
}

static __always_inline const struct key *key_of(__u8 epoch) {
  __u32 index = epoch;
  return bpf_map_lookup_elem(&keys, &index);
}
