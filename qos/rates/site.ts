/** What the rates of a node need of the rest of it: where the trees stand, and through which class each port is led. */
import type { Side } from '../../model/endpoint.ts';
import type { RateField } from '../../model/limits.ts';
import type { IfName, TenantName } from '../../model/names.ts';

/** From the container's point of view. */
export type RateDirection = 'in' | 'out';

export interface TreeId {
  readonly side: Side;
  readonly direction: RateDirection;
}

export const TREES: readonly TreeId[] = [
  { side: 'internal', direction: 'in' },
  { side: 'internal', direction: 'out' },
  { side: 'external', direction: 'in' },
  { side: 'external', direction: 'out' },
];

export function fieldOf({ side, direction }: TreeId): RateField {
  return `net.${side}.${direction}`;
}

/** Ids of classes by direction; 0: unlimited. */
export type LedClasses = Readonly<Record<RateDirection, number>>;

/** A port as the packet plane has it. */
export interface BoundPort {
  readonly side: Side;
  readonly classes: LedClasses;
}

/** A container's interface as the node has it on record. */
export interface KnownPort {
  readonly hostIf: IfName;
  readonly side: Side;
  readonly tenant: TenantName;
}

/** By direction, the interface at whose egress the tree stands. */
export type ShaperLinks = Readonly<Record<RateDirection, number>>;

export interface RateSite {
  /** The interfaces of a side, at whose egress the trees stand; undefined: they are not there (yet). */
  shaper(side: Side): Promise<ShaperLinks | undefined>;
  /** All bound ports by interface index. */
  ports(): Promise<ReadonlyMap<number, BoundPort>>;
  /** Leads what a port sends or receives through a class from now on. One that is not bound is no error. */
  lead(ifindex: number, direction: RateDirection, minor: number): Promise<void>;
  /** Called before a class is removed, when no port is led through it. */
  forget(id: TreeId, minor: number): Promise<void>;
  known(): readonly KnownPort[];
  /** Of the containers' interfaces of a side, bytes. */
  mtu(side: Side): number;
}
