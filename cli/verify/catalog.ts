/** The checks as data: what each is called, what it proves, and how many hosts it takes. */

interface Entry {
  /** For the table. */
  readonly title: string;
  /** One sentence: what is true when the check is as expected. */
  readonly proves: string;
  readonly hosts: 1 | 2;
}

export const CATALOG = {
  'same-tenant-same-host': {
    title: 'same tenant, one host',
    proves: 'Containers of a tenant reach each other on one host.',
    hosts: 1,
  },
  'other-tenant-same-host': {
    title: 'other tenant, one host',
    proves: 'No unicast, broadcast, multicast or ARP frame of a tenant reaches another one on the same host.',
    hosts: 1,
  },
  'same-tenant-two-hosts': {
    title: 'same tenant, two hosts',
    proves: 'Containers of a tenant reach each other between hosts.',
    hosts: 2,
  },
  'other-tenant-two-hosts': {
    title: 'other tenant, two hosts',
    proves: 'No packet of a tenant reaches another one on another host.',
    hosts: 2,
  },
  'forged-tag': {
    title: 'forged tag',
    proves: 'A packet from the wire whose tag was not made with the key of the cluster reaches nobody.',
    hosts: 2,
  },
  'untagged-from-wire': {
    title: 'untagged from the wire',
    proves: 'A packet from the wire without a tag reaches nobody.',
    hosts: 2,
  },
  'spoofed-mac': {
    title: 'spoofed MAC address',
    proves: 'A container cannot send with a MAC address that is not its own.',
    hosts: 1,
  },
  'spoofed-ip': {
    title: 'spoofed IP address',
    proves: 'A container cannot send with an IPv4 address that is not its own.',
    hosts: 1,
  },
  'arp-spoof': {
    title: 'ARP spoofing',
    proves: 'A container cannot claim an address that is not its own.',
    hosts: 1,
  },
  'internet-egress': {
    title: 'way out to the internet',
    proves: 'A container reaches the outside, and the outside sees the address of the node.',
    hosts: 1,
  },
  'published-port': {
    title: 'published port',
    proves: 'A published port of the node leads to its container.',
    hosts: 1,
  },
  'host-unreachable': {
    title: 'the host itself',
    proves:
      'A container reaches nothing on the host, by whatever address, nor link-local addresses behind it.',
    hosts: 1,
  },
} as const satisfies Record<string, Entry>;

/** What the sample proves besides, with a volume of its own. */
export const VOLUMES = {
  'shared-volume': {
    title: 'shared volume',
    proves: 'What a container writes to a volume of its tenant, another one reads on another host.',
    hosts: 2,
  },
  'other-tenant-volume': {
    title: "another tenant's volume",
    proves: 'A tenant can neither see nor mount the volume of another one, nor talk to what keeps it.',
    hosts: 2,
  },
} as const satisfies Record<string, Entry>;

export type NetworkCheckId = keyof typeof CATALOG;
export type CheckId = NetworkCheckId | keyof typeof VOLUMES;

/** Of `sluice verify`. */
export const CHECK_IDS = Object.keys(CATALOG) as readonly NetworkCheckId[];

export const TITLES = Object.fromEntries(
  Object.entries({ ...CATALOG, ...VOLUMES }).map(([id, { title }]) => [id, title]),
) as Readonly<Record<CheckId, string>>;

/** Checks that one host alone cannot make. */
export const TWO_HOSTS: readonly CheckId[] = CHECK_IDS.filter((id) => CATALOG[id].hosts === 2);
