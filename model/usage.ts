/** What tenants' containers send and receive: accounts, their figures, and questions about them. */
import type { Side } from './endpoint.ts';
import type { ContainerId, IfName, TenantTag } from './names.ts';

/** The account of one network interface of a container: 64 bits that no other attachment ever has. */
export type AccountId = bigint & { readonly account: true };

/** From the container's point of view. Bytes are those of whole frames, as interface counters have them. */
export interface Counters {
  readonly sentBytes: bigint;
  readonly sentPackets: bigint;
  readonly receivedBytes: bigint;
  readonly receivedPackets: bigint;
}

export const COUNTERS = ['sentBytes', 'sentPackets', 'receivedBytes', 'receivedPackets'] as const;

export const NOTHING: Counters = {
  sentBytes: 0n,
  sentPackets: 0n,
  receivedBytes: 0n,
  receivedPackets: 0n,
};

/** Whose account it is. */
export interface AccountOwner {
  readonly tag: TenantTag;
  readonly side: Side;
  readonly container: ContainerId;
  readonly ifName: IfName;
}

/** What was written down of an account that is still counted. */
export interface KnownAccount {
  /** The kernel's map that was read; another one counts from zero. */
  readonly source: string;
  /** The counters as they were read. */
  readonly seen: Counters;
}

/** What usage is added up by. */
export const USAGE_GROUPS = ['tenant', 'endpoint', 'hour'] as const;
export type UsageGroup = (typeof USAGE_GROUPS)[number];

export interface UsageQuestion {
  readonly by: UsageGroup;
  /** Unix ms: the hours that end after `from` and begin before `to`. */
  readonly from: number;
  readonly to: number;
  /** Undefined: all tenants. */
  readonly tag: TenantTag | undefined;
  /** At most so many rows. */
  readonly limit: number;
}

/** One sum: of a tenant's side, of one interface of a container, or of a tenant's side in one hour. */
export interface UsageRow extends Counters {
  readonly tag: TenantTag;
  readonly side: Side;
  /** By endpoint only. */
  readonly container?: ContainerId;
  readonly ifName?: IfName;
  /** By hour only: its beginning in Unix ms. */
  readonly hour?: number;
}

/** Since the first packet that was ever counted here. */
export type TenantTotal = Pick<UsageRow, 'tag' | 'side' | keyof Counters>;

export const HOUR_MS = 3_600_000;

/** The beginning of the hour of this moment. Hours begin at UTC's full hours. */
export function hourOf(ms: number): number {
  return ms - (ms % HOUR_MS);
}
