/* The carrier `option`: putting the tag on and taking it off. The format is docs/tag-wire-format.md. */
#pragma once

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "drop.h"
#include "maps.h"
#include "options.h"
#include "packet.h"
#include "token.h"

#define TAG_WORDS (TAG_BYTES / 4)
#define IHL_TAGGED (IHL_PLAIN + TAG_WORDS)
#define IHL_LONGEST 15

struct tag {
  __u8 option;
  __u8 length;
  __u8 version;
  __u8 epoch;
  __be32 tenant; /* a reserved byte of zero, then 24 bits */
  __u32 mac[2];  /* low word first, as SipHash gives its 8 bytes */
};

struct tagged_header {
  struct iphdr ip;
  struct tag tag;
};

/*
 * Changes header length and total length, and the checksum by the difference (RFC 1624), so that a header
 * which was damaged before stays recognisably damaged. `change` is what the options add to the sum.
 */
static __always_inline void resize_header(struct iphdr *ip, __u8 ihl, __u16 tot_len, __u64 change) {
  __u32 before, after; /* the header's first word, which holds both lengths */
  __builtin_memcpy(&before, ip, sizeof(before));
  ip->ihl = ihl;
  ip->tot_len = bpf_htons(tot_len);
  __builtin_memcpy(&after, ip, sizeof(after));
  ip->check = fold_checksum((__u16)~ip->check + change + less_words(&before, 1) + after);
}

/* Puts the tag before the options that there may be. The packet is unusable when this refuses. */
static __always_inline enum reason put_tag(struct __sk_buff *skb, const struct iphdr *ip,
                                           const struct token *token) {
  struct tagged_header header = {
    .ip = *ip,
    .tag = {
      .option = TAG_OPTION,
      .length = TAG_BYTES,
      .version = token->version,
      .epoch = token->epoch,
      .tenant = bpf_htonl(token->tenant),
      .mac = { (__u32)token->mac, token->mac >> 32 },
    },
  };

  __u32 tot_len = bpf_ntohs(ip->tot_len) + TAG_BYTES;
  REFUSE_IF(ip->ihl < IHL_PLAIN || ip->ihl + TAG_WORDS > IHL_LONGEST, REASON_IP_OPTIONS);
  /* Options that are not all there: no router of this host lets them by, but who else is on the way? */
  REFUSE_IF(ip->ihl * 4 > bpf_ntohs(ip->tot_len) || ip->ihl * 4 > skb->len - ETH_HLEN, REASON_IP_OPTIONS);
  REFUSE_IF(tot_len > LONGEST_PACKET, REASON_NO_ROOM);
  /* FIXED_GSO: segments keep their size, because the container's MTU leaves room for the tag. */
  long no_room = bpf_skb_adjust_room(skb, TAG_BYTES, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO);
  REFUSE_IF(no_room, REASON_NO_ROOM);

  resize_header(&header.ip, ip->ihl + TAG_WORDS, tot_len, sum_of_words((__u32 *)&header.tag, TAG_WORDS));
  long unwritten = bpf_skb_store_bytes(skb, ETH_HLEN, &header, sizeof(header), BPF_F_RECOMPUTE_CSUM);
  REFUSE_IF(unwritten, REASON_NO_ROOM);
  increment(&counts, COUNT_TAGGED);
  return ALLOWED;
}

/* Everything a tag must be, in the order of the document's table. */
static __always_inline enum reason check_tag(const struct iphdr *ip, const struct tag *tag) {
  struct token token = {
    .mac = (__u64)tag->mac[0] | (__u64)tag->mac[1] << 32,
    .tenant = bpf_ntohl(tag->tenant),
    .version = tag->version,
    .epoch = tag->epoch,
    .carrier = TOKEN_IN_OPTION,
  };
  REFUSE_IF(tag->option != TAG_OPTION || tag->length != TAG_BYTES, REASON_TAG_MALFORMED);
  REFUSE_IF(!is_tenant(token.tenant), REASON_TAG_MALFORMED);
  return check_token(ip, &token);
}

/* Checks the tag and takes it off. `ip` is then the header as it belongs into the packet, still to be written. */
static __always_inline enum reason take_tag(struct __sk_buff *skb, struct iphdr *ip, __u32 *tenant) {
  struct tag tag;
  __u16 tot_len = bpf_ntohs(ip->tot_len);
  long cut_off = load_header(skb, ETH_HLEN + sizeof(*ip), &tag, sizeof(tag));
  REFUSE_IF(ip->ihl < IHL_TAGGED || cut_off || tot_len < ip->ihl * 4, REASON_TAG_MALFORMED);
  REFUSE_IF(ip->ihl > IHL_TAGGED &&
                !are_harmless_options(skb, ETH_HLEN + IHL_TAGGED * 4, (ip->ihl - IHL_TAGGED) * 4),
            REASON_TAG_MALFORMED);
  TRY(check_tag(ip, &tag));

  /* NO_CSUM_RESET: what the NIC found out about the payload's checksum still holds. */
  long stuck = bpf_skb_adjust_room(skb, -TAG_BYTES, BPF_ADJ_ROOM_NET,
                                   BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET);
  REFUSE_IF(stuck, REASON_NO_ROOM);
  __u64 change = less_words((__u32 *)&tag, TAG_WORDS);
  resize_header(ip, ip->ihl - TAG_WORDS, tot_len - TAG_BYTES, change);
  *tenant = bpf_ntohl(tag.tenant) & 0xffffff;
  increment(&counts, COUNT_VERIFIED);
  return ALLOWED;
}
