/** In which ways the same attacks are tried: by both planes, over both carriers, past bridge and routing and through them. */
import type { StartOptions } from '../../lab/node.ts';
import { Carrier } from '../../model/carrier.ts';

export interface Variant {
  /** As it is printed: plane, carrier, and the way where it is not the usual one. */
  readonly name: string;
  readonly config: NonNullable<StartOptions['config']>;
  readonly plane: 'ebpf' | 'nfqueue';
  readonly fastPath: boolean;
  /** What the nodes send. */
  readonly carrier: Carrier;
  /** What they take in. */
  readonly accepted: readonly Carrier[];
  /** Attacks, by name, that the kernel itself stops here, before the plane could count them. */
  readonly uncounted: readonly string[];
  /** Of frames from the wire that chance has made, the plane refuses at least this part; others the kernel does. */
  readonly refusedOfChance: number;
}

const ebpf = { plane: 'ebpf', accepted: Carrier.options, uncounted: [], refusedOfChance: 1 / 4 } as const;

/** A bridge takes no frame from a group's address, and does with those to two groups what it likes. */
const STOPPED_BY_BRIDGE = [
  'IPv4 and ARP from addresses of groups and of nobody, internal',
  'IPv4 and ARP from addresses of groups and of nobody, external',
  'the same to the groups of pauses and of LLDP',
  "claims the gateway's and blue's address in frames to the groups of pauses and of LLDP",
  'as blue, and from its MAC address, in frames to the groups of pauses and of LLDP',
];

export const VARIANTS = {
  option: { ...ebpf, name: 'ebpf/option', config: {}, fastPath: true, carrier: 'option' },
  longWay: {
    ...{ ...ebpf, name: 'ebpf/option/long', fastPath: false, carrier: 'option' },
    config: { tagqueue: { fastPath: 'off' } },
  },
  vxlan: { ...ebpf, name: 'ebpf/vxlan', config: {}, fastPath: true, carrier: 'vxlan' },
  nfqueue: {
    ...{ plane: 'nfqueue', name: 'nfqueue/option', fastPath: false, carrier: 'option', accepted: ['option'] },
    config: { tagqueue: { plane: 'nfqueue' } },
    uncounted: STOPPED_BY_BRIDGE,
    // It sees packets behind the kernel's look at their headers, and no tunnels.
    refusedOfChance: 1 / 50,
  },
} as const satisfies Record<string, Variant>;
