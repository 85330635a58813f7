/* Why a packet was refused. The numbers index the `drops` map; tagqueue/reasons.ts has the same list in words. */
#pragma once

enum reason {
  ALLOWED = 0,

  /* The sender's identity, judged where the frame leaves the container. */
  REASON_NO_PORT = 1,
  REASON_SOURCE_MAC = 2,
  REASON_ETHERTYPE = 3,
  REASON_VLAN = 4,
  REASON_ARP_SPOOF = 5,
  REASON_ROGUE_ROUTER = 6,
  REASON_MALFORMED = 7,
  REASON_IP_OPTIONS = 8,
  REASON_SOURCE_IP = 9,
  REASON_LOOPBACK = 10,
  REASON_NOT_INTERNAL = 11,
  REASON_NOT_EXTERNAL = 12,
  REASON_FRAGMENT = 13,

  /* The tenant, judged where the frame enters a container. */
  REASON_OTHER_TENANT = 14,
  REASON_UNTAGGED = 15,

  /* The wire. */
  REASON_FOREIGN_SOURCE = 16,
  REASON_INTERNAL_LEAK = 17,
  REASON_NO_KEY = 18,
  REASON_NO_ROOM = 19,
  REASON_TAG_MALFORMED = 20,
  REASON_TAG_VERSION = 21,
  REASON_TAG_EPOCH = 22,
  REASON_TAG_FORGED = 23,

  /* The tunnel. */
  REASON_TUNNEL_MALFORMED = 24,
  REASON_TUNNEL_PEER = 25,
  REASON_TUNNEL_DESTINATION = 26,
  REASON_TUNNEL_PORT = 27,
  /* Userland's verdict on a flow to the outside; no program counts it. */
  REASON_GUARD = 30,
};

/* Entries of the `drops` map, with room for reasons to come: its size is fixed once it is pinned. */
#define REASON_SLOTS 64
