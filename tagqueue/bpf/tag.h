/* The tag on the wire: putting it on and taking it off. The format is docs/tag-wire-format.md. */
#pragma once

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "drop.h"
#include "maps.h"
#include "packet.h"
#include "siphash.h"

#define TAG_OPTION 0x9e /* copied into fragments, class 0, number 30: experimental (RFC 4727) */
#define TAG_VERSION 1
#define TAG_BYTES 16
#define IHL_TAGGED (IHL_PLAIN + TAG_BYTES / 4)
#define LONGEST_PACKET 0xffff

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

/* A tenant's number on the wire is not 0 and fits the tag's 24 bits. */
static __always_inline bool is_tenant(__u32 tag) {
  return tag != 0 && tag <= 0xffffff;
}

static __always_inline __u64 tag_mac(const struct key *key, const struct iphdr *ip, const struct tag *tag) {
  __u64 addresses = (__u64)ip->saddr | (__u64)ip->daddr << 32;
  __u64 rest = (__u64)tag->version | (__u64)tag->epoch << 8 | (__u64)ip->protocol << 16;
  __u64 tenant = tag->tenant & bpf_htonl(0xffffff);
  return siphash_16_bytes(key->k0, key->k1, addresses, rest | tenant << 32);
}

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

/* Puts the tag right behind a header without options. The packet is unusable when this refuses. */
static __always_inline enum reason put_tag(struct __sk_buff *skb, const struct iphdr *ip, __u32 tenant,
                                           __u8 epoch, const struct key *key) {
  struct tagged_header header = {
    .ip = *ip,
    .tag = {
      .option = TAG_OPTION,
      .length = TAG_BYTES,
      .version = TAG_VERSION,
      .epoch = epoch,
      .tenant = bpf_htonl(tenant),
    },
  };
  __u64 mac = tag_mac(key, ip, &header.tag);
  header.tag.mac[0] = (__u32)mac;
  header.tag.mac[1] = mac >> 32;

  __u32 tot_len = bpf_ntohs(ip->tot_len) + TAG_BYTES;
  REFUSE_IF(tot_len > LONGEST_PACKET, REASON_NO_ROOM);
  /* FIXED_GSO: segments keep their size, because the container's MTU leaves room for the tag. */
  long no_room = bpf_skb_adjust_room(skb, TAG_BYTES, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO);
  REFUSE_IF(no_room, REASON_NO_ROOM);

  resize_header(&header.ip, IHL_TAGGED, tot_len, sum_of_words((__u32 *)&header.tag, TAG_BYTES / 4));
  long unwritten = bpf_skb_store_bytes(skb, ETH_HLEN, &header, sizeof(header), BPF_F_RECOMPUTE_CSUM);
  REFUSE_IF(unwritten, REASON_NO_ROOM);
  increment(&counts, COUNT_TAGGED);
  return ALLOWED;
}

/* Everything a tag must be, in the order of the document's table. */
static __always_inline enum reason check_tag(const struct iphdr *ip, const struct tag *tag) {
  REFUSE_IF(tag->option != TAG_OPTION || tag->length != TAG_BYTES, REASON_TAG_MALFORMED);
  REFUSE_IF(!is_tenant(bpf_ntohl(tag->tenant)), REASON_TAG_MALFORMED);
  REFUSE_IF(tag->version != TAG_VERSION, REASON_TAG_VERSION);

  const struct key *key = key_of(tag->epoch);
  if (!key) return REASON_TAG_EPOCH; /* the map has all 256: this is for the verifier */
  REFUSE_IF(!key->valid, REASON_TAG_EPOCH);
  __u64 mac = (__u64)tag->mac[0] | (__u64)tag->mac[1] << 32;
  REFUSE_IF(mac != tag_mac(key, ip, tag), REASON_TAG_FORGED);
  return ALLOWED;
}

/* Checks the tag and takes it off. `ip` is then the header as it belongs into the packet, still to be written. */
static __always_inline enum reason take_tag(struct __sk_buff *skb, struct iphdr *ip, __u32 *tenant) {
  struct tag tag;
  __u16 tot_len = bpf_ntohs(ip->tot_len);
  long cut_off = bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(*ip), &tag, sizeof(tag));
  REFUSE_IF(ip->ihl != IHL_TAGGED || cut_off || tot_len < IHL_TAGGED * 4, REASON_TAG_MALFORMED);
  TRY(check_tag(ip, &tag));

  /* NO_CSUM_RESET: what the NIC found out about the payload's checksum still holds. */
  long stuck = bpf_skb_adjust_room(skb, -TAG_BYTES, BPF_ADJ_ROOM_NET,
                                   BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET);
  REFUSE_IF(stuck, REASON_NO_ROOM);
  __u64 change = less_words((__u32 *)&tag, TAG_BYTES / 4);
  resize_header(ip, ip->ihl - TAG_BYTES / 4, tot_len - TAG_BYTES, change);
  *tenant = bpf_ntohl(tag.tenant) & 0xffffff;
  increment(&counts, COUNT_VERIFIED);
  return ALLOWED;
}
