/*
 * The fence: four programs that a packet between containers passes.
 *
 *   container ─ port_in ─┐                                          ┌─ port_out ─ container
 *      who sends? mark = tenant   bridge, or the wire:     mark = this port's tenant?
 *                        └─ uplink_out ── tag ──> uplink_in ────────┘
 *                             mark becomes tag      tag becomes mark
 *
 * `in` and `out` are as the host sees it: port_in judges what a container sends. Whatever is not known to be
 * allowed is refused; reasons.h lists why. Classic tc action codes and helpers of kernel 5.15, no kfuncs.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "drop.h"
#include "identity.h"
#include "maps.h"
#include "packet.h"
#include "tag.h"

static __always_inline enum reason judge_port_in(struct __sk_buff *skb) {
  const struct port *port = port_of(skb);
  if (!port) {
    REFUSE_IF(true, REASON_NO_PORT);
    return ALLOWED;
  }
  TRY(check_identity(skb, port));
  skb->mark = port->tag;
  return ALLOWED;
}

static __always_inline enum reason judge_port_out(struct __sk_buff *skb) {
  const struct port *port = port_of(skb);
  if (!port) {
    REFUSE_IF(true, REASON_NO_PORT);
    return ALLOWED;
  }
  __u32 mark = skb->mark;
  if (mark == port->tag) return ALLOWED;
  REFUSE_IF(mark != 0, REASON_OTHER_TENANT);
  bool is_arp = skb->protocol == bpf_htons(ETH_P_ARP);
  if (is_arp ? is_arp_of_gateway(skb, port) : port->side == SIDE_EXTERNAL) return ALLOWED;
  REFUSE_IF(mark == 0, REASON_UNTAGGED);
  return ALLOWED;
}

static __always_inline enum reason judge_uplink_out(struct __sk_buff *skb) {
  struct iphdr ip;
  const struct conf *conf = configuration();
  if (!conf) return REASON_MALFORMED; /* cannot happen, but the verifier does not know */
  if (skb->protocol != bpf_htons(ETH_P_IP)) return ALLOWED;
  long cut_off = load_ipv4(skb, &ip);
  REFUSE_IF(cut_off, REASON_MALFORMED);

  if (!in_pool(conf, ip.daddr)) {
    REFUSE_IF(in_pool(conf, ip.saddr), REASON_INTERNAL_LEAK);
    return ALLOWED;
  }
  if (!is_tenant(skb->mark)) {
    REFUSE_IF(true, REASON_UNTAGGED);
    return ALLOWED;
  }
  REFUSE_IF(!in_own_block(conf, ip.saddr), REASON_FOREIGN_SOURCE);
  REFUSE_IF(ip.ihl != IHL_PLAIN, REASON_IP_OPTIONS);
  __u8 epoch = conf->epoch;
  const struct key *key = key_of(epoch);
  if (!key) return REASON_NO_KEY; /* as above */
  REFUSE_IF(!key->valid, REASON_NO_KEY);
  return put_tag(skb, &ip, epoch, key);
}

static __always_inline enum reason judge_uplink_in(struct __sk_buff *skb) {
  struct iphdr ip;
  const struct conf *conf = configuration();
  if (!conf) return REASON_MALFORMED; /* as above */
  /*
   * The kernel takes off a priority tag (VLAN 0) and then another one behind it without asking us again
   * (net/core/dev.c, check_vlan_id), so an IPv4 packet could hide in there.
   */
  REFUSE_IF(is_vlan(skb->protocol) && !(skb->vlan_tci & 0x0fff), REASON_VLAN);
  if (skb->protocol != bpf_htons(ETH_P_IP)) return ALLOWED;
  long cut_off = load_ipv4(skb, &ip);
  REFUSE_IF(cut_off, REASON_MALFORMED);

  if (!in_pool(conf, ip.daddr)) {
    REFUSE_IF(in_pool(conf, ip.saddr), REASON_INTERNAL_LEAK);
    return ALLOWED;
  }
  if (ip.ihl == IHL_PLAIN) {
    REFUSE_IF(true, REASON_UNTAGGED);
    return ALLOWED;
  }
  REFUSE_IF(!in_pool(conf, ip.saddr) || in_own_block(conf, ip.saddr), REASON_FOREIGN_SOURCE);
  return take_tag(skb, &ip);
}

/* tc ingress of a container's host-side veth: what the container sends. */
SEC("tc")
int port_in(struct __sk_buff *skb) {
  return verdict(skb, HOOK_PORT_IN, judge_port_in(skb));
}

/* tc egress of a container's host-side veth: what the container would receive. */
SEC("tc")
int port_out(struct __sk_buff *skb) {
  return verdict(skb, HOOK_PORT_OUT, judge_port_out(skb));
}

/* tc egress of the node's uplink. The mark means nothing beyond this host: it is cleared. */
SEC("tc")
int uplink_out(struct __sk_buff *skb) {
  int action = verdict(skb, HOOK_UPLINK_OUT, judge_uplink_out(skb));
  skb->mark = 0;
  return action;
}

/* tc ingress of the node's uplink. A mark that came in from elsewhere is worth nothing. */
SEC("tc")
int uplink_in(struct __sk_buff *skb) {
  skb->mark = 0;
  return verdict(skb, HOOK_UPLINK_IN, judge_uplink_in(skb));
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
