/* The carriers for IPv6: the tag as destination options, and the tunnel. The format is docs/tag-wire-format.md. */
#pragma once

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "drop.h"
#include "maps.h"
#include "packet6.h"
#include "token.h"
#include "tunnel.h"

#define TAG6_OPTION 0x5e /* discard where unknown, unchanged on the way, experimental (RFC 8200, 4.2; RFC 4727) */
#define TAG6_BYTES 16
#define TAG6_OPTION_BYTES 12

/* Destination options with the one option that fills them. */
struct tag6 {
  __u8 next_header;
  __u8 length; /* in 8 bytes, the first 8 not counted */
  __u8 option;
  __u8 option_length;
  __be32 epoch_tenant; /* 8 and 24 bits */
  __u32 mac[2];        /* low word first, as in the IPv4 option */
};

struct tagged_header6 {
  struct ipv6hdr ip;
  struct tag6 tag;
};

/* Puts the tag behind the IPv6 header, before all other headers. The packet is unusable when this refuses. */
static __always_inline enum reason put_tag6(struct __sk_buff *skb, const struct ipv6hdr *ip,
                                            const struct token *token) {
  struct tagged_header6 header = {
    .ip = *ip,
    .tag = {
      .next_header = ip->nexthdr,
      .length = TAG6_BYTES / 8 - 1,
      .option = TAG6_OPTION,
      .option_length = TAG6_OPTION_BYTES,
      .epoch_tenant = bpf_htonl((__u32)token->epoch << 24 | token->tenant),
      .mac = { (__u32)token->mac, token->mac >> 32 },
    },
  };

  __u32 payload = bpf_ntohs(ip->payload_len) + TAG6_BYTES;
  REFUSE_IF(payload > LONGEST_PACKET, REASON_NO_ROOM);
  long no_room = bpf_skb_adjust_room(skb, TAG6_BYTES, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO);
  REFUSE_IF(no_room, REASON_NO_ROOM);
  header.ip.nexthdr = IPPROTO_DSTOPTS;
  header.ip.payload_len = bpf_htons(payload);
  long unwritten = bpf_skb_store_bytes(skb, ETH_HLEN, &header, sizeof(header), BPF_F_RECOMPUTE_CSUM);
  REFUSE_IF(unwritten, REASON_NO_ROOM);
  increment(&counts, COUNT_TAGGED);
  return ALLOWED;
}

/* Everything a tag must be, in the order of the document's table, and off it comes. */
static __always_inline enum reason take_tag6(struct __sk_buff *skb, struct ipv6hdr *ip, __u32 *tenant) {
  struct tag6 tag;
  __u16 payload = bpf_ntohs(ip->payload_len);
  long cut_off = bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(*ip), &tag, sizeof(tag));
  REFUSE_IF(cut_off || ip->version != 6 || payload < TAG6_BYTES, REASON_TAG_MALFORMED);
  REFUSE_IF(tag.length != TAG6_BYTES / 8 - 1 || tag.option != TAG6_OPTION ||
                tag.option_length != TAG6_OPTION_BYTES,
            REASON_TAG_MALFORMED);
  struct token token = {
    .mac = (__u64)tag.mac[0] | (__u64)tag.mac[1] << 32,
    .tenant = bpf_ntohl(tag.epoch_tenant) & 0xffffff,
    .version = TAG_VERSION,
    .epoch = bpf_ntohl(tag.epoch_tenant) >> 24,
    .carrier = TOKEN_IN_OPTION6,
  };
  REFUSE_IF(!is_tenant(token.tenant), REASON_TAG_MALFORMED);
  ip->nexthdr = tag.next_header;
  struct iphdr flow = as_ipv4(ip);
  TRY(check_token(&flow, &token));

  long stuck = bpf_skb_adjust_room(skb, -TAG6_BYTES, BPF_ADJ_ROOM_NET,
                                   BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET);
  REFUSE_IF(stuck, REASON_NO_ROOM);
  ip->payload_len = bpf_htons(payload - TAG6_BYTES);
  long unwritten = bpf_skb_store_bytes(skb, ETH_HLEN, ip, sizeof(*ip), BPF_F_RECOMPUTE_CSUM);
  REFUSE_IF(unwritten, REASON_NO_ROOM);
  *tenant = token.tenant;
  increment(&counts, COUNT_VERIFIED);
  return ALLOWED;
}

/* Into the tunnel, whose outer header is IPv4's. */
static __always_inline enum reason enter_tunnel6(struct __sk_buff *skb, const struct settings *node,
                                                 const struct ipv6hdr *ip, __u32 tenant, bool *inside) {
  struct iphdr flow = as_ipv4(ip);
  __be16 outer = bpf_htons(ETH_P_IP);
  REFUSE_IF(length_of(ip) > LONGEST_PACKET, REASON_NO_ROOM);
  TRY(enter_tunnel(skb, node, &flow, tenant, TOKEN_IN_VXLAN6, inside));
  if (!*inside) return ALLOWED;
  long unwritten = bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &outer, sizeof(outer), 0);
  REFUSE_IF(unwritten, REASON_NO_ROOM);
  return ALLOWED;
}

/* What bpf_skb_change_proto puts before the packet when it makes room for the other family's header. */
#define GROWN_BYTES (sizeof(struct ipv6hdr) - sizeof(struct iphdr))

/* Checks everything and takes the packet out; `ip` is then its own header. `outer`: the tunnel's. */
static __always_inline enum reason leave_tunnel6(struct __sk_buff *skb, const struct settings *node,
                                                 const struct tunnel_inside *inside, const struct iphdr *outer,
                                                 struct ipv6hdr *ip, __u32 *tenant) {
  __be16 protocol = bpf_htons(ETH_P_IPV6);
  struct token token;
  TRY(check_tunnel_headers(skb, outer, inside, ETH_P_IPV6));
  long cut_off = bpf_skb_load_bytes(skb, ETH_HLEN + TUNNEL_BYTES, ip, sizeof(*ip));
  REFUSE_IF(cut_off || ip->version != 6 || length_of(ip) + TUNNEL_BYTES != bpf_ntohs(outer->tot_len),
            REASON_TUNNEL_MALFORMED);
  REFUSE_IF(!in_pool6(node, &ip->saddr), REASON_FOREIGN_SOURCE);
  REFUSE_IF(!in_pool6(node, &ip->daddr), REASON_TUNNEL_DESTINATION);
  struct iphdr flow = as_ipv4(ip);
  read_token(&inside->headers, TOKEN_IN_VXLAN6, &token);
  TRY(check_carried(node, &flow, outer, &token));
  TRY(combine_tos(&flow.tos, outer->tos));
  ip->priority = flow.tos >> 4;
  ip->flow_lbl[0] = (ip->flow_lbl[0] & 0x0f) | flow.tos << 4;

  /* So that the kernel, too, takes it for IPv6. This helper is older than the flag that says it while shrinking. */
  long stuck = bpf_skb_change_proto(skb, protocol, 0);
  REFUSE_IF(stuck, REASON_NO_ROOM);
  stuck = bpf_skb_adjust_room(skb, -(__s32)(TUNNEL_BYTES + GROWN_BYTES), BPF_ADJ_ROOM_MAC, ADJUST_OUT_OF_TUNNEL);
  REFUSE_IF(stuck, REASON_NO_ROOM);
  bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC); /* as for IPv4 */
  long unwritten = bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &protocol, sizeof(protocol), 0) ||
                   bpf_skb_store_bytes(skb, ETH_HLEN, ip, sizeof(*ip), BPF_F_RECOMPUTE_CSUM);
  REFUSE_IF(unwritten, REASON_NO_ROOM);
  *tenant = token.tenant;
  increment(&counts, COUNT_VERIFIED);
  return ALLOWED;
}
