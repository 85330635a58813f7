/** What the sample's containers are: planned, and running. */
import type { Ipv4 } from '../../model/addresses.ts';
import type { Podman } from './podman.ts';

export const TENANTS = ['blue', 'red'] as const;
export type TenantName = (typeof TENANTS)[number];

export interface Planned {
  readonly name: string;
  readonly tenant: TenantName;
  readonly node: 'a' | 'b';
}

export interface Running extends Planned {
  readonly address: Ipv4;
  readonly podman: Podman;
}
