/* Is the sender who it says it is, and is it allowed to say this here? One function per protocol. */
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
#include "identity6.h"
#include "maps.h"
#include "options.h"
#include "packet.h"

/* linux/if_arp.h has these, but draws in headers of the C library that a BPF target does not have. */
#define ARPHRD_ETHER 1
#define ARPOP_REQUEST 1
#define ARPOP_REPLY 2

/* RFC 826 for Ethernet and IPv4. The addresses are at even, not at word offsets: hence packed. */
struct arp {
  __be16 hardware;
  __be16 protocol;
  __u8 hardware_length;
  __u8 protocol_length;
  __be16 operation;
  struct mac sender_mac;
  __be32 sender_ip;
  struct mac target_mac;
  __be32 target_ip;
} __attribute__((packed));

static __always_inline bool is_arp_of_ethernet_and_ipv4(const struct arp *arp) {
  return arp->hardware == bpf_htons(ARPHRD_ETHER) && arp->protocol == bpf_htons(ETH_P_IP) &&
         arp->hardware_length == ETH_ALEN && arp->protocol_length == sizeof(__be32);
}

/* Somebody who asks whether an address is free does not claim it yet (RFC 5227, 'ARP Probe'). */
static __always_inline bool is_arp_probe(const struct arp *arp) {
  return arp->operation == bpf_htons(ARPOP_REQUEST) && arp->sender_ip == 0;
}

static __always_inline enum reason check_arp(struct __sk_buff *skb, const struct port *port) {
  struct arp arp;
  long cut_off = bpf_skb_load_bytes(skb, ETH_HLEN, &arp, sizeof(arp));
  REFUSE_IF(cut_off || !is_arp_of_ethernet_and_ipv4(&arp), REASON_ARP_SPOOF);
  REFUSE_IF(arp.operation != bpf_htons(ARPOP_REQUEST) && arp.operation != bpf_htons(ARPOP_REPLY),
            REASON_ARP_SPOOF);
  REFUSE_IF(!same_mac(&arp.sender_mac, &port->mac), REASON_ARP_SPOOF);
  REFUSE_IF(arp.sender_ip != port->ip && !is_arp_probe(&arp), REASON_ARP_SPOOF);
  return ALLOWED;
}

/*
 * The host's own ARP bears no mark. Its answers reach whom they are for, but it asks by broadcast: for an address
 * that one tenant has chosen, before the ears of all. So of its requests a container hears those for itself.
 */
static __always_inline bool is_arp_of_gateway(struct __sk_buff *skb, const struct port *port) {
  struct arp arp;
  if (bpf_skb_load_bytes(skb, ETH_HLEN, &arp, sizeof(arp))) return false;
  return is_arp_of_ethernet_and_ipv4(&arp) && same_mac(&arp.sender_mac, &port->gateway_mac) &&
         arp.sender_ip == port->gateway && arp.target_ip == port->ip;
}

/* Fragments made so that a filter does not see the transport header (RFC 1858, RFC 3128). */
static __always_inline bool hides_transport_header(const struct iphdr *ip) {
  __u16 fragment = bpf_ntohs(ip->frag_off);
  __u16 offset = fragment & IP_FRAGMENT_OFFSET;
  __u16 payload = bpf_ntohs(ip->tot_len) - ip->ihl * 4;
  return offset == 1 || (offset == 0 && (fragment & IP_MORE_FRAGMENTS) && payload < 16);
}

/* Each side of the fence has its own interface: none leads to the other's addresses. */
static __always_inline enum reason check_destination(const struct port *port, __be32 to) {
  const struct settings *node = node_settings();
  if (!node) return REASON_MALFORMED; /* cannot happen, but the verifier does not know */
  REFUSE_IF(is_loopback(to), REASON_LOOPBACK);
  if (port->side == SIDE_EXTERNAL)
    REFUSE_IF(in_pool(node, to), REASON_NOT_EXTERNAL);
  else
    REFUSE_IF(!in_pool(node, to) && !is_multicast_or_broadcast(to), REASON_NOT_INTERNAL);
  return ALLOWED;
}

/*
 * The tunnel is the hosts' own. Of addresses that an internal port reaches, the gateway's is a host's; beyond the
 * external side any may be. Later fragments have no port, and what they would belong to is refused.
 */
static __always_inline enum reason check_tunnel_port(struct __sk_buff *skb, const struct port *port,
                                                     const struct iphdr *ip) {
  const struct settings *node = node_settings();
  __be16 to;
  if (!node || ip->protocol != IPPROTO_UDP || (bpf_ntohs(ip->frag_off) & IP_FRAGMENT_OFFSET)) return ALLOWED;
  if (port->side == SIDE_INTERNAL && ip->daddr != port->gateway) return ALLOWED;
  if (bpf_skb_load_bytes(skb, ETH_HLEN + ip->ihl * 4 + offsetof(struct udphdr, dest), &to, sizeof(to)))
    return ALLOWED;
  REFUSE_IF(to == node->vxlan_port, REASON_TUNNEL_PORT);
  return ALLOWED;
}

static __always_inline enum reason check_ipv4(struct __sk_buff *skb, const struct port *port) {
  struct iphdr ip;
  long cut_off = load_ipv4(skb, &ip);
  __u32 length = bpf_ntohs(ip.tot_len);
  REFUSE_IF(cut_off || ip.version != 4 || ip.ihl < IHL_PLAIN, REASON_MALFORMED);
  REFUSE_IF(length < ip.ihl * 4 || length > skb->len - ETH_HLEN, REASON_MALFORMED);
  /* A tag written by the container itself dies here. */
  REFUSE_IF(ip.ihl > IHL_PLAIN &&
                !are_harmless_options(skb, ETH_HLEN + sizeof(ip), (ip.ihl - IHL_PLAIN) * 4),
            REASON_IP_OPTIONS);
  REFUSE_IF(ip.saddr != port->ip, REASON_SOURCE_IP);
  REFUSE_IF(hides_transport_header(&ip), REASON_FRAGMENT);
  TRY(check_destination(port, ip.daddr));
  return check_tunnel_port(skb, port, &ip);
}

static __always_inline enum reason check_identity(struct __sk_buff *skb, const struct port *port) {
  struct ethhdr eth;
  long cut_off = load_header(skb, 0, &eth, sizeof(eth));
  REFUSE_IF(cut_off, REASON_MALFORMED);
  REFUSE_IF(skb->vlan_present || is_vlan(eth.h_proto), REASON_VLAN);
  REFUSE_IF(!same_mac(eth.h_source, &port->mac), REASON_SOURCE_MAC);
  if (eth.h_proto == bpf_htons(ETH_P_IP)) return check_ipv4(skb, port);
  if (eth.h_proto == bpf_htons(ETH_P_ARP)) return check_arp(skb, port);
  bool is_dual_stack = port->flags & PORT_DUAL_STACK;
  if (is_dual_stack && eth.h_proto == bpf_htons(ETH_P_IPV6)) return check_ipv6(skb, port);

  /* Values below ETH_P_802_3_MIN are lengths of 802.3 frames, which carry LLC and SNAP. */
  __u16 ethertype = bpf_ntohs(eth.h_proto);
  void *allowed = bpf_map_lookup_elem(&ethertypes, &ethertype);
  REFUSE_IF(ethertype < ETH_P_802_3_MIN || !allowed, REASON_ETHERTYPE);
  return ethertype == ETH_P_IPV6 ? check_ipv6(skb, port) : ALLOWED;
}
