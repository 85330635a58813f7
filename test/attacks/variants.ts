/** In which ways the same attacks are tried: by both planes, over both carriers, past bridge and routing and through them. */
import type { StartOptions } from '../../lab/node.ts';
import type { Carrier } from '../../model/carrier.ts';
import type { DropReason } from '../../tagqueue/reasons.ts';

export interface Variant {
  /** As it is printed: plane, carrier, and the way where it is not the usual one. */
  readonly name: string;
  readonly config: NonNullable<StartOptions['config']>;
  /** What the nodes send. Both are accepted everywhere. */
  readonly carrier: Carrier;
  /** Reasons that stand for another one here, because another check comes first. */
  readonly instead: Readonly<Partial<Record<DropReason, readonly DropReason[]>>>;
}

export const VARIANTS = {
  option: { name: 'ebpf/option', config: {}, carrier: 'option', instead: {} },
  longWay: {
    name: 'ebpf/option/long',
    config: { tagqueue: { fastPath: 'off' } },
    carrier: 'option',
    instead: {},
  },
  vxlan: { name: 'ebpf/vxlan', config: {}, carrier: 'vxlan', instead: {} },
} as const satisfies Record<string, Variant>;

/** Every reason that an attack may be refused for in this variant. */
export function reasonsIn({ instead }: Variant, by: DropReason | readonly DropReason[]): DropReason[] {
  return [by].flat().flatMap((reason) => [reason, ...(instead[reason] ?? [])]);
}
