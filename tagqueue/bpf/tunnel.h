/* The carrier `vxlan`: putting packets into the tunnel and taking them out. The format is docs/tag-wire-format.md. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "drop.h"
#include "maps.h"
#include "packet.h"
#include "token.h"

/* Behind the outer IPv4 header: UDP, VXLAN (RFC 7348), Ethernet. Of halves, for want of better alignment. */
struct tunnel_headers {
  __be16 source_port;
  __be16 destination_port;
  __be16 length;
  __sum16 checksum;
  __be16 flags;
  __be16 reserved;
  __be16 vni[2]; /* 24 bits, then a reserved byte of zero */
  __u8 destination_kind;
  __u8 epoch;
  __u16 mac_low[2];
  __u8 source_kind;
  __u8 version;
  __u16 mac_high[2];
  __be16 protocol;
};

#define VXLAN_HAS_VNI 0x0800
#define KIND_LOCAL 0x02 /* unicast, locally administered: all that a switch could want of an address */
#define TUNNEL_BYTES (sizeof(struct iphdr) + sizeof(struct tunnel_headers))
#define TUNNEL_TTL 64
#define IP_DONT_FRAGMENT 0x4000
#define EPHEMERAL_PORTS 0xc000 /* 49152 to 65535 (RFC 7348, 5) */

/* Before the inner packet, as it is written. */
struct tunnel_outside {
  struct iphdr ip;
  struct tunnel_headers headers;
};

/* From the outer UDP header to the inner IPv4 header, as it is read. */
struct tunnel_inside {
  __u16 pad; /* aligns the inner header */
  struct tunnel_headers headers;
  struct iphdr ip;
};

#define INSIDE_BYTES (sizeof(struct tunnel_inside) - offsetof(struct tunnel_inside, headers))

/* As for a TCP segment or plain packet; a container that sends tunnels itself has the kernel's one place for it. */
#define ADJUST_INTO_TUNNEL \
  (BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | \
   BPF_F_ADJ_ROOM_ENCAP_L2(ETH_HLEN) | BPF_F_ADJ_ROOM_ENCAP_L2_ETH)
/* FIXED_GSO both ways: segments that grew on the way out would not fit the container's MTU. */
#define ADJUST_OUT_OF_TUNNEL (BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET)

/* The kernel's, from include/uapi/asm-generic/errno.h: the packet is in a tunnel already. */
#define EALREADY 114

/*
 * Datagrams that one call handed over and nobody has cut yet (UDP_SEGMENT). On a wire of software they come to the other
 * node as they are, and cannot be cut there: out of the tunnel, too, the kernel still takes them for packets of a tunnel.
 */
static __always_inline bool stays_uncut(const struct __sk_buff *skb, const struct settings *node,
                                        const struct iphdr *ip) {
  return skb->gso_size && ip->protocol == IPPROTO_UDP && !(node->flags & SETTING_CARD);
}

/*
 * Puts the packet into the tunnel; of an IPv6 packet `ip` is what as_ipv4 makes of it. `inside` stays false where it
 * could not be done and the packet is as it was: then there is still the other carrier.
 */
static __always_inline enum reason enter_tunnel(struct __sk_buff *skb, const struct settings *node,
                                                const struct iphdr *ip, __u32 tenant,
                                                enum token_carrier carrier, bool *inside) {
  struct token token;
  const struct route *route = route_to(ip->daddr);
  *inside = false;
  if (stays_uncut(skb, node, ip)) return ALLOWED;
  REFUSE_IF(!route, REASON_TUNNEL_PEER);
  if (!route) return ALLOWED;
  TRY(make_token(node, ip, tenant, carrier, &token));

  __u32 tot_len = bpf_ntohs(ip->tot_len) + TUNNEL_BYTES;
  REFUSE_IF(tot_len > LONGEST_PACKET, REASON_NO_ROOM);
  struct tunnel_outside outside = {
    .ip = {
      .version = 4,
      .ihl = IHL_PLAIN,
      .tos = ip->tos, /* class and ECN alike (RFC 6040, 4.1) */
      .tot_len = bpf_htons(tot_len),
      .frag_off = bpf_htons(IP_DONT_FRAGMENT),
      .ttl = TUNNEL_TTL,
      .protocol = IPPROTO_UDP,
      .saddr = node->uplink_ip,
      .daddr = route->node,
    },
    .headers = {
      .source_port = bpf_htons(EPHEMERAL_PORTS | (bpf_get_hash_recalc(skb) & ~EPHEMERAL_PORTS & 0xffff)),
      .destination_port = node->vxlan_port,
      .length = bpf_htons(tot_len - sizeof(struct iphdr)),
      .flags = bpf_htons(VXLAN_HAS_VNI),
      .vni = { bpf_htons(tenant >> 8), bpf_htons(tenant << 8) },
      .destination_kind = KIND_LOCAL,
      .epoch = token.epoch,
      .mac_low = { token.mac, token.mac >> 16 },
      .source_kind = KIND_LOCAL,
      .version = token.version,
      .mac_high = { token.mac >> 32, token.mac >> 48 },
      .protocol = bpf_htons(carrier == TOKEN_IN_VXLAN6 ? ETH_P_IPV6 : ETH_P_IP),
    },
  };
  outside.ip.check = fold_checksum(sum_of_words((__u32 *)&outside.ip, IHL_PLAIN));

  long error = bpf_skb_adjust_room(skb, TUNNEL_BYTES, BPF_ADJ_ROOM_MAC, ADJUST_INTO_TUNNEL);
  if (error == -EALREADY) return ALLOWED;
  REFUSE_IF(error, REASON_NO_ROOM);
  long unwritten = bpf_skb_store_bytes(skb, ETH_HLEN, &outside, TUNNEL_BYTES, 0);
  REFUSE_IF(unwritten, REASON_NO_ROOM);
  *inside = true;
  increment(&counts, COUNT_TAGGED);
  return ALLOWED;
}

/*
 * Is it for the tunnel? What is too short for one, or has options, is read as zeros, which is malformed.
 * Later fragments do not say; without the first, which comes here, they are nothing.
 */
static __always_inline bool is_for_tunnel(struct __sk_buff *skb, const struct settings *node,
                                          const struct iphdr *ip, struct tunnel_inside *inside) {
  __be16 ports[2];
  if (ip->protocol != IPPROTO_UDP || ip->daddr != node->uplink_ip) return false;
  if (bpf_ntohs(ip->frag_off) & IP_FRAGMENT_OFFSET) return false;
  if (ip->ihl == IHL_PLAIN &&
      !load_header(skb, ETH_HLEN + sizeof(*ip), &inside->headers, INSIDE_BYTES))
    return inside->headers.destination_port == node->vxlan_port;
  if (bpf_skb_load_bytes(skb, ETH_HLEN + ip->ihl * 4, ports, sizeof(ports))) return false;
  __builtin_memset(inside, 0, sizeof(*inside));
  return ports[1] == node->vxlan_port;
}

/* One whole packet as this node's peers make it: nothing cut, nothing added, nothing left open. */
static __always_inline enum reason check_tunnel_headers(const struct __sk_buff *skb, const struct iphdr *outer,
                                                        const struct tunnel_inside *inside, __u16 protocol) {
  const struct tunnel_headers *headers = &inside->headers;
  __u32 tot_len = bpf_ntohs(outer->tot_len);
  REFUSE_IF(outer->version != 4 || fold_checksum(sum_of_words((const __u32 *)outer, IHL_PLAIN)) ||
                (outer->frag_off & bpf_htons(IP_MORE_FRAGMENTS)) || tot_len > skb->len - ETH_HLEN,
            REASON_TUNNEL_MALFORMED);
  REFUSE_IF(bpf_ntohs(headers->length) != tot_len - sizeof(*outer) || headers->checksum, REASON_TUNNEL_MALFORMED);
  REFUSE_IF(headers->flags != bpf_htons(VXLAN_HAS_VNI) || headers->reserved ||
                (headers->vni[1] & bpf_htons(0x00ff)),
            REASON_TUNNEL_MALFORMED);
  REFUSE_IF(headers->destination_kind != KIND_LOCAL || headers->source_kind != KIND_LOCAL ||
                headers->protocol != bpf_htons(protocol),
            REASON_TUNNEL_MALFORMED);
  return ALLOWED;
}

static __always_inline void read_token(const struct tunnel_headers *headers, enum token_carrier carrier,
                                       struct token *token) {
  *token = (struct token){
    .mac = (__u64)headers->mac_low[0] | (__u64)headers->mac_low[1] << 16 | (__u64)headers->mac_high[0] << 32 |
           (__u64)headers->mac_high[1] << 48,
    .tenant = (__u32)bpf_ntohs(headers->vni[0]) << 8 | bpf_ntohs(headers->vni[1]) >> 8,
    .version = headers->version,
    .epoch = headers->epoch,
    .carrier = carrier,
  };
}

/* Everything that does not depend on what is inside. `ip` is the inner header, `outer` the one before it. */
static __always_inline enum reason check_carried(const struct settings *node, const struct iphdr *ip,
                                                 const struct iphdr *outer, const struct token *token) {
  const struct route *route = route_to(ip->saddr);
  REFUSE_IF(!route, REASON_FOREIGN_SOURCE);
  REFUSE_IF(route && route->node != outer->saddr, REASON_TUNNEL_PEER);
  REFUSE_IF(!in_own_block(node, ip->daddr), REASON_TUNNEL_DESTINATION);
  REFUSE_IF(!is_tenant(token->tenant), REASON_TAG_MALFORMED);
  return check_token(ip, token);
}

#define ECN 0x03
#define ECN_CONGESTED 0x03
#define ECN_CAPABLE_1 0x01

/* What routers said on the way about congestion goes on to the receiver (RFC 6040, 4.2). */
static __always_inline enum reason combine_tos(__u8 *tos, __u8 outer) {
  __u8 inner = *tos & ECN;
  outer &= ECN;
  REFUSE_IF(!inner && outer == ECN_CONGESTED, REASON_TUNNEL_MALFORMED);
  bool says_more = outer == ECN_CONGESTED || outer == ECN_CAPABLE_1;
  if (inner && inner != ECN_CONGESTED && says_more) *tos = (*tos & ~ECN) | outer;
  return ALLOWED;
}

static __always_inline enum reason combine_ecn(struct iphdr *ip, __u8 outer) {
  __u8 tos = ip->tos;
  TRY(combine_tos(&tos, outer));
  if (tos == ip->tos) return ALLOWED;

  __u32 before, after; /* the header's first word, as in resize_header */
  __builtin_memcpy(&before, ip, sizeof(before));
  ip->tos = tos;
  __builtin_memcpy(&after, ip, sizeof(after));
  ip->check = fold_checksum((__u16)~ip->check + less_words(&before, 1) + after);
  return ALLOWED;
}

/* Checks everything and takes the packet out. `ip` is then its own header; `changed`: it is still to be written. */
static __always_inline enum reason leave_tunnel(struct __sk_buff *skb, const struct settings *node,
                                                const struct tunnel_inside *inside, struct iphdr *ip,
                                                __u32 *tenant, bool *changed) {
  const struct tunnel_headers *headers = &inside->headers;
  struct iphdr outer = *ip;
  TRY(check_tunnel_headers(skb, &outer, inside, ETH_P_IP));
  *ip = inside->ip;
  REFUSE_IF(ip->version != 4 || ip->ihl < IHL_PLAIN ||
                bpf_ntohs(ip->tot_len) + TUNNEL_BYTES != bpf_ntohs(outer.tot_len),
            REASON_TUNNEL_MALFORMED);
  struct token token;
  read_token(headers, TOKEN_IN_VXLAN, &token);
  TRY(check_carried(node, ip, &outer, &token));
  TRY(combine_ecn(ip, outer.tos));

  long stuck = bpf_skb_adjust_room(skb, -(__s32)TUNNEL_BYTES, BPF_ADJ_ROOM_MAC, ADJUST_OUT_OF_TUNNEL);
  REFUSE_IF(stuck, REASON_NO_ROOM);
  /* What a NIC found out about one checksum was about the outer one. */
  bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
  *tenant = token.tenant;
  *changed = ip->tos != inside->ip.tos;
  increment(&counts, COUNT_VERIFIED);
  return ALLOWED;
}
