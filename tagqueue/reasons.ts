/** Why packets are refused: the numbers of tagqueue/bpf/reasons.h, with a name and one sentence for operators. */

interface Description {
  readonly number: number;
  readonly meaning: string;
}

const REASONS = {
  no_port: { number: 1, meaning: 'The interface is not bound to a tenant (yet), so nothing passes it.' },
  source_mac: { number: 2, meaning: 'A container sent with a MAC address that is not its own.' },
  ethertype: {
    number: 3,
    meaning: 'The frame is neither IPv4 nor ARP, and its EtherType is not among network.allowedEtherTypes.',
  },
  vlan: { number: 4, meaning: 'The frame carries a VLAN tag where none belongs.' },
  arp_spoof: {
    number: 5,
    meaning:
      'A container claimed an address that is not its own, in an ARP packet or by IPv6 neighbour discovery.',
  },
  rogue_router: {
    number: 6,
    meaning:
      'A container sent an IPv6 router advertisement or redirect, or hid what it sent behind extension headers.',
  },
  malformed: { number: 7, meaning: 'The header is shorter or longer than it says, or of the wrong version.' },
  ip_options: {
    number: 8,
    meaning:
      'The packet carries options that no container may send: a tag, a source route, too many, or broken ones.',
  },
  source_ip: { number: 9, meaning: 'A container sent with an IPv4 or IPv6 address that is not its own.' },
  loopback: { number: 10, meaning: "A container sent to 127.0.0.0/8, the host's own addresses." },
  not_internal: {
    number: 11,
    meaning: 'A container sent to an address outside the internal pool by its internal interface.',
  },
  not_external: {
    number: 12,
    meaning: 'A container sent to an internal address by its external interface.',
  },
  fragment: { number: 13, meaning: 'The fragment is made to hide the transport header from filters.' },
  other_tenant: { number: 14, meaning: "The packet comes from another tenant's container." },
  untagged: { number: 15, meaning: 'The packet for an internal address names no tenant.' },
  foreign_source: {
    number: 16,
    meaning: 'The source address on the wire does not belong to the host that sent the packet.',
  },
  internal_leak: {
    number: 17,
    meaning: 'A packet from an internal address was about to leave for, or arrived for, the outside.',
  },
  no_key: {
    number: 18,
    meaning: 'The node has no key to make tags with: it has not heard from the server yet.',
  },
  no_room: {
    number: 19,
    meaning:
      "The tag does not fit: the sender's MTU is too large, or the device cannot segment such packets.",
  },
  tag_malformed: {
    number: 20,
    meaning: 'What came on the wire is not one whole tag before all other options.',
  },
  tag_version: { number: 21, meaning: 'The tag is of a format version that this node does not know.' },
  tag_epoch: { number: 22, meaning: 'The tag was made with a key that is not known or not valid any more.' },
  tag_forged: {
    number: 23,
    meaning: "The tag's MAC is wrong: whoever made it does not have the cluster's key.",
  },
  tunnel_malformed: {
    number: 24,
    meaning: 'What came to the tunnel port is not exactly one packet as the nodes of this cluster send it.',
  },
  tunnel_peer: {
    number: 25,
    meaning: "The tunnel's other end is not the node that has the inner address.",
  },
  tunnel_destination: {
    number: 26,
    meaning: 'The packet in the tunnel is for an address that this node does not have.',
  },
  tunnel_port: { number: 27, meaning: 'A container sent to the tunnel port of the hosts.' },
  guard: {
    number: 30,
    meaning: "The tenant's guard rules refuse the flow to the outside; --follow names the rule.",
  },
} as const satisfies Record<string, Description>;

export type DropReason = keyof typeof REASONS;

export const DROP_REASONS = Object.keys(REASONS) as readonly DropReason[];

/** Those that the programs count; the guard refuses flows in userland. */
export const PROGRAM_REASONS: readonly DropReason[] = DROP_REASONS.filter((reason) => reason !== 'guard');

const BY_NUMBER: ReadonlyMap<number, DropReason> = new Map(
  DROP_REASONS.map((reason) => [REASONS[reason].number, reason]),
);

/** The index in the map `drops`, and the value of -DMUTANT that leaves its checks out. */
export function numberOfReason(reason: DropReason): number {
  return REASONS[reason].number;
}

/** @returns undefined for a number of a later version of the programs. */
export function reasonOfNumber(number: number): DropReason | undefined {
  return BY_NUMBER.get(number);
}

/** One sentence for operators. */
export function meaningOfReason(reason: DropReason): string {
  return REASONS[reason].meaning;
}
