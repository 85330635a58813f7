/* Is the sender of an IPv6 packet who it says it is, and is it allowed to say this here? */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "drop.h"
#include "maps.h"
#include "packet6.h"
#include "tag6.h"

#define MOST_EXTENSION_HEADERS 8
#define ICMPV6_HEADER_BYTES 4
#define ICMPV6_LISTENER_REPORT 131
#define ICMPV6_LISTENER_DONE 132
#define ICMPV6_ROUTER_SOLICITATION 133
#define ICMPV6_ROUTER_ADVERTISEMENT 134
#define ICMPV6_NEIGHBOUR_SOLICITATION 135
#define ICMPV6_NEIGHBOUR_ADVERTISEMENT 136
#define ICMPV6_REDIRECT 137
#define ICMPV6_LISTENER_REPORT_2 143

/* Where the walk ended: behind the extension headers, or at the data of a later fragment. */
struct upper {
  __u32 offset;
  /* Of ICMPv6; else 0. */
  __u8 type;
};

/*
 * No container is a router. The whole chain of extension headers is walked, because hiding an advertisement
 * behind them is the known way past such a check (RFC 7113); a chain that cannot be walked is refused.
 */
static __always_inline enum reason check_headers(struct __sk_buff *skb, const struct port *port,
                                                 struct upper *upper) {
  struct ipv6hdr ip;
  __u8 extension[8]; /* next header, length, then what the kind of header says */
  __u8 type;
  long cut_off = load_ipv6(skb, &ip);
  __u32 offset = ETH_HLEN + sizeof(ip);
  __u8 next = ip.nexthdr;
  upper->offset = offset;
  upper->type = 0;

  for (int i = 0; i < MOST_EXTENSION_HEADERS && !cut_off; i++) {
    upper->offset = offset;
    switch (next) {
      case IPPROTO_ICMPV6:
        cut_off = bpf_skb_load_bytes(skb, offset, &type, sizeof(type));
        REFUSE_IF(cut_off || type == ICMPV6_ROUTER_ADVERTISEMENT || type == ICMPV6_REDIRECT,
                  REASON_ROGUE_ROUTER);
        upper->type = type;
        return ALLOWED;
      case IPPROTO_HOPOPTS:
      case IPPROTO_ROUTING:
      case IPPROTO_DSTOPTS:
        cut_off = bpf_skb_load_bytes(skb, offset, extension, sizeof(extension));
        /* A tag written by the container itself dies here, and so does a source route. */
        REFUSE_IF((port->flags & PORT_DUAL_STACK) &&
                      (next == IPPROTO_ROUTING || (next == IPPROTO_DSTOPTS && extension[2] == TAG6_OPTION)),
                  REASON_IP_OPTIONS);
        offset += (extension[1] + 1) * 8;
        break;
      case IPPROTO_AH:
        cut_off = bpf_skb_load_bytes(skb, offset, extension, sizeof(extension));
        offset += (extension[1] + 2) * 4;
        break;
      case IPPROTO_FRAGMENT:
        cut_off = bpf_skb_load_bytes(skb, offset, extension, sizeof(extension));
        offset += sizeof(extension);
        upper->offset = offset;
        if (extension[2] | (extension[3] & 0xf8)) return ALLOWED; /* useless without its first fragment */
        break;
      default:
        return ALLOWED;
    }
    next = extension[0];
  }
  REFUSE_IF(true, REASON_ROGUE_ROUTER);
  return ALLOWED;
}

/* The cluster's prefix and the port's IPv4 address. */
static __always_inline bool is_own_global(const struct settings *node, const struct port *port,
                                          const struct in6_addr *address) {
  return in_pool6(node, address) && ipv4_in(address) == port->ip;
}

/* fe80:: and the port's MAC address as EUI-64 (RFC 4291, appendix A). */
static __always_inline bool is_own_link_local(const struct port *port, const struct in6_addr *address) {
  const __be16 *halves = address->in6_u.u6_addr16;
  const __u16 *mac = port->mac.half;
  return halves[0] == bpf_htons(0xfe80) && !(halves[1] | halves[2] | halves[3]) &&
         halves[4] == (mac[0] ^ bpf_htons(0x0200)) &&
         halves[5] == ((mac[1] & bpf_htons(0xff00)) | bpf_htons(0x00ff)) &&
         halves[6] == (bpf_htons(0xfe00) | (mac[1] & bpf_htons(0x00ff))) && halves[7] == mac[2];
}

/* Messages by which a host finds its neighbours and joins groups, before it has an address or with its local one. */
static __always_inline bool is_for_the_link(__u8 type) {
  return type == ICMPV6_ROUTER_SOLICITATION || type == ICMPV6_NEIGHBOUR_SOLICITATION ||
         type == ICMPV6_NEIGHBOUR_ADVERTISEMENT || type == ICMPV6_LISTENER_REPORT ||
         type == ICMPV6_LISTENER_DONE || type == ICMPV6_LISTENER_REPORT_2;
}

/* RFC 4861, 4.3 and 4.4: type, code, checksum, four more bytes. */
#define TARGET_OFFSET 8

/* An advertisement claims its target, and so does a question from nobody, which detects duplicates (RFC 4862, 5.4). */
static __always_inline enum reason check_claim(struct __sk_buff *skb, const struct settings *node,
                                               const struct port *port, const struct ipv6hdr *ip,
                                               const struct upper *upper) {
  struct in6_addr target;
  bool claims = upper->type == ICMPV6_NEIGHBOUR_ADVERTISEMENT ||
                (upper->type == ICMPV6_NEIGHBOUR_SOLICITATION && is_unspecified(&ip->saddr));
  if (!claims) return ALLOWED;
  long cut_off = bpf_skb_load_bytes(skb, upper->offset + TARGET_OFFSET, &target, sizeof(target));
  bool is_cut = upper->offset + TARGET_OFFSET + sizeof(target) > ETH_HLEN + length_of(ip);
  REFUSE_IF(cut_off || is_cut || !(is_own_global(node, port, &target) || is_own_link_local(port, &target)),
            REASON_ARP_SPOOF);
  return ALLOWED;
}

static __always_inline enum reason check_dual_stack(struct __sk_buff *skb, const struct port *port,
                                                    const struct upper *upper) {
  const struct settings *node = node_settings();
  struct ipv6hdr ip;
  if (!node || load_ipv6(skb, &ip)) return REASON_MALFORMED; /* cannot happen: the headers were walked */
  REFUSE_IF(ip.version != 6 || length_of(&ip) > skb->len - ETH_HLEN, REASON_MALFORMED);
  /* What was walked through must not have been padding: a later fragment would say something else (RFC 7112). */
  REFUSE_IF(upper->offset + (upper->type ? ICMPV6_HEADER_BYTES : 0) > ETH_HLEN + length_of(&ip),
            REASON_ROGUE_ROUTER);
  bool from_link = is_own_link_local(port, &ip.saddr) || is_unspecified(&ip.saddr);
  REFUSE_IF(!is_own_global(node, port, &ip.saddr) && !(from_link && is_for_the_link(upper->type)),
            REASON_SOURCE_IP);
  TRY(check_claim(skb, node, port, &ip, upper));
  REFUSE_IF(!in_pool6(node, &ip.daddr) && !is_multicast6(&ip.daddr) && !is_link_local(&ip.daddr),
            REASON_NOT_INTERNAL);
  return ALLOWED;
}

static __always_inline enum reason check_ipv6(struct __sk_buff *skb, const struct port *port) {
  struct upper upper;
  TRY(check_headers(skb, port, &upper));
  return port->flags & PORT_DUAL_STACK ? check_dual_stack(skb, port, &upper) : ALLOWED;
}
