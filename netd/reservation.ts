/** An address that stays with a container's name: the container may stop, move to another id, and come back to it. */
import * as z from 'zod';
import { Ipv4 } from '../model/addresses.ts';
import { ContainerName, TenantName } from '../model/names.ts';

export const Reservation = z.strictObject({
  tenant: TenantName,
  name: ContainerName,
  internal: Ipv4.nullable(),
  external: Ipv4.nullable(),
});
export type Reservation = z.infer<typeof Reservation>;

/** Names are unique within a tenant only. */
export function reservationKey(tenant: TenantName, name: ContainerName): string {
  return `${tenant}/${name}`;
}
