/** What the guard's worker and its daemon tell each other. */

import type { HeaderSummary } from '../../model/drop.ts';
import type { GuardRules } from '../../model/guard.ts';
import type { TenantTag } from '../../model/names.ts';

/** Where it stands which port is whose: the kernel id of the plane's map, or the table of the plane without eBPF. */
export type PortsPlace = { readonly map: number } | { readonly table: string };

/** What a worker is started with. */
export interface WorkerSettings {
  readonly queue: number;
  readonly markMask: number;
  readonly ports: PortsPlace;
}

export interface TenantRules {
  readonly tag: TenantTag;
  readonly rules: GuardRules;
}

export type ToWorker =
  /** All rules there are: tenants that are not among them have none. */
  | { readonly kind: 'rules'; readonly tenants: readonly TenantRules[] }
  /** The released flows of a tenant that were alive at a time of `performance.timeOrigin + now`. */
  | { readonly kind: 'flows'; readonly tag: TenantTag; readonly keys: readonly string[]; readonly at: number }
  /** Rules and flows of before are told: packets may be read. */
  | { readonly kind: 'begin' }
  | { readonly kind: 'stop' };

/** Flows decided alike since the last report. */
export interface Decided {
  readonly tag: TenantTag;
  readonly verdict: 'allow' | 'deny';
  readonly rule: string;
  readonly flows: number;
}

export interface RefusedFlow {
  /** Unix time in ms. */
  readonly at: number;
  readonly tag: TenantTag;
  readonly ifindex: number;
  readonly rule: string;
  /** Name asked for, where there was one. */
  readonly domain: string | null;
  /** Bytes of the packet that decided. */
  readonly length: number;
  readonly header: HeaderSummary;
}

export type FromWorker =
  | { readonly kind: 'ready' }
  /** From now on the rules that were told are gone by. */
  | { readonly kind: 'taken' }
  | {
      readonly kind: 'report';
      readonly decided: readonly Decided[];
      /** By tenant; those of flows that were refused before included. */
      readonly refusedPackets: readonly { readonly tag: TenantTag; readonly packets: number }[];
      /** At most MOST_REFUSED_TOLD of them. */
      readonly refused: readonly RefusedFlow[];
      /** Things held in memory, of all tenants together. */
      readonly held: { readonly beginnings: number; readonly beginningBytes: number; readonly flows: number };
    };

export const MOST_REFUSED_TOLD = 100;
