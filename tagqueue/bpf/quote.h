/*
 * ICMP errors from routers between the nodes (RFC 792, RFC 1191): they quote the packet as it was on the wire. Such a
 * router has no key, so its word is worth what the tag in the quote is worth: only who saw the packet can have it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "drop.h"
#include "maps.h"
#include "packet.h"
#include "tag.h"
#include "token.h"
#include "tunnel.h"

/* linux/icmp.h has these, but draws in headers of the C library that a BPF target does not have. */
#define ICMP_DEST_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12

/* Of an ICMP error, the words that we read and write. */
struct icmp_error {
  __u8 type;
  __u8 code;
  __sum16 checksum;
  __u8 pointer;
  __u8 quoted_words; /* RFC 4884: the length of the quote where extensions follow it; else 0 */
  __be16 mtu;        /* of a 'fragmentation needed' */
};

struct quoted_option {
  struct icmp_error error;
  struct tagged_header header;
};

struct quoted_tunnel {
  struct icmp_error error;
  struct iphdr outer;
};

#define LEAST_MTU 68 /* RFC 791 */

static __always_inline bool is_whole_icmp(const struct iphdr *ip) {
  return ip->protocol == IPPROTO_ICMP && ip->ihl == IHL_PLAIN &&
         !(ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET));
}

static __always_inline bool is_error_of_router(const struct icmp_error *error) {
  return error->type == ICMP_DEST_UNREACH || error->type == ICMP_TIME_EXCEEDED ||
         error->type == ICMP_PARAMETERPROB;
}

/* For the container the carrier does not exist, so what it may send is less by the carrier's bytes. */
static __always_inline void lower_mtu(struct icmp_error *error, __u16 bytes) {
  __u16 mtu = bpf_ntohs(error->mtu);
  if (error->type == ICMP_DEST_UNREACH && error->code == ICMP_FRAG_NEEDED && mtu >= LEAST_MTU + bytes)
    error->mtu = bpf_htons(mtu - bytes);
}

/* What the error's own first two words add to its checksum, which is zero among them. */
static __always_inline __u64 sum_of_error(const struct icmp_error *error) {
  struct icmp_error copy = *error;
  copy.checksum = 0;
  return sum_of_words((const __u32 *)&copy, sizeof(copy) / 4);
}

static __always_inline __u64 less_error(const struct icmp_error *error) {
  struct icmp_error copy = *error;
  copy.checksum = 0;
  return less_words((const __u32 *)&copy, sizeof(copy) / 4);
}

/*
 * The carrier `option`: the error came to the container itself. The quoted tag is cut out, by moving up what stands
 * before it. `ip` is then the error's header as it belongs into the packet, still to be written.
 */
static __always_inline enum reason take_quoted_option(struct __sk_buff *skb, const struct settings *node,
                                                      struct iphdr *ip, __u32 *tenant) {
  struct quoted_option quote;
  struct icmp_error *error = &quote.error;
  struct iphdr *quoted = &quote.header.ip;
  struct tag *tag = &quote.header.tag;
  long cut_off = bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(*ip), &quote, sizeof(quote));
  __u16 tot_len = bpf_ntohs(ip->tot_len);
  REFUSE_IF(cut_off || tot_len < sizeof(*ip) + sizeof(quote) || !is_error_of_router(error), REASON_UNTAGGED);
  REFUSE_IF(quoted->version != 4 || quoted->ihl < IHL_TAGGED || quoted->saddr != ip->daddr ||
                !in_own_block(node, quoted->saddr),
            REASON_UNTAGGED);
  TRY(check_tag(quoted, tag));

  __u64 change = less_error(error) + less_words((__u32 *)&quote.header, sizeof(quote.header) / 4);
  lower_mtu(error, TAG_BYTES);
  if (error->quoted_words > TAG_WORDS) error->quoted_words -= TAG_WORDS;
  if (error->type == ICMP_PARAMETERPROB && error->pointer >= IHL_TAGGED * 4) error->pointer -= TAG_BYTES;
  *tenant = bpf_ntohl(tag->tenant) & 0xffffff;
  resize_header(quoted, quoted->ihl - TAG_WORDS, bpf_ntohs(quoted->tot_len) - TAG_BYTES,
                less_words((__u32 *)tag, TAG_WORDS));
  change += sum_of_error(error) + sum_of_words((__u32 *)quoted, IHL_PLAIN);
  error->checksum = fold_checksum((__u16)~error->checksum + change);

  long stuck = bpf_skb_adjust_room(skb, -TAG_BYTES, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_NO_CSUM_RESET);
  REFUSE_IF(stuck, REASON_NO_ROOM);
  long unwritten = bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(*ip), &quote,
                                       sizeof(quote) - TAG_BYTES, BPF_F_RECOMPUTE_CSUM);
  REFUSE_IF(unwritten, REASON_NO_ROOM);
  resize_header(ip, ip->ihl, tot_len - TAG_BYTES, 0);
  increment(&counts, COUNT_VERIFIED);
  return ALLOWED;
}

/* Does the error quote a packet of our tunnel? The sender's own stack has no use for those. */
static __always_inline bool quotes_tunnel(struct __sk_buff *skb, const struct settings *node,
                                          const struct iphdr *ip, struct quoted_tunnel *quote) {
  __be16 ports[2];
  if (!is_whole_icmp(ip) || ip->daddr != node->uplink_ip) return false;
  if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(*ip), quote, sizeof(*quote))) return false;
  if (!is_error_of_router(&quote->error) || quote->outer.protocol != IPPROTO_UDP ||
      quote->outer.saddr != node->uplink_ip || quote->outer.ihl != IHL_PLAIN)
    return false;
  if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(*ip) + sizeof(*quote), ports, sizeof(ports))) return false;
  return ports[1] == node->vxlan_port;
}

/*
 * The carrier `vxlan`: the error came to the node. Where the quote is long enough to have the packet's own header, it
 * becomes an error about that packet, for its container. `ip` as above.
 */
static __always_inline enum reason take_quoted_tunnel(struct __sk_buff *skb, const struct settings *node,
                                                      struct quoted_tunnel *quote, struct iphdr *ip,
                                                      __u32 *tenant) {
  struct tunnel_inside inside;
  struct token token;
  struct icmp_error *error = &quote->error;
  __u16 tot_len = bpf_ntohs(ip->tot_len);
  long cut_off = bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(*ip) + sizeof(*quote), &inside.headers, INSIDE_BYTES);
  REFUSE_IF(cut_off || tot_len < sizeof(*ip) + sizeof(*quote) + INSIDE_BYTES, REASON_UNTAGGED);
  read_token(&inside.headers, TOKEN_IN_VXLAN, &token);
  REFUSE_IF(inside.ip.version != 4 || !in_own_block(node, inside.ip.saddr) || !is_tenant(token.tenant),
            REASON_UNTAGGED);
  TRY(check_token(&inside.ip, &token));

  __u64 change = less_error(error) + less_words((__u32 *)&quote->outer, IHL_PLAIN);
  const __u16 *halves = (const __u16 *)&inside.headers;
  for (int i = 0; i < (int)sizeof(inside.headers) / 2; i++) change += (__u16)~halves[i];
  lower_mtu(error, TUNNEL_BYTES);
  error->quoted_words = 0; /* the tunnel is not whole words long */
  change += sum_of_error(error);
  error->checksum = fold_checksum((__u16)~error->checksum + change);

  long stuck = bpf_skb_adjust_room(skb, -(__s32)TUNNEL_BYTES, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_NO_CSUM_RESET);
  REFUSE_IF(stuck, REASON_NO_ROOM);
  long unwritten = bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(*ip), error, sizeof(*error), BPF_F_RECOMPUTE_CSUM);
  REFUSE_IF(unwritten, REASON_NO_ROOM);
  *tenant = token.tenant;
  __u64 moved = less_words(&ip->daddr, 1) + inside.ip.saddr;
  ip->daddr = inside.ip.saddr;
  resize_header(ip, ip->ihl, tot_len - TUNNEL_BYTES, moved);
  increment(&counts, COUNT_VERIFIED);
  return ALLOWED;
}
