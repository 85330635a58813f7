/** Addresses that stay with a container's name: it may stop, get another id, and come back to them. */
import * as z from 'zod';
import { Ipv4 } from '../model/addresses.ts';
import { SluiceError } from '../model/errors.ts';
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

/** The reservations of this node, findable by name and by address. In memory only. */
export class Reservations {
  readonly #byName = new Map<string, Reservation>();
  readonly #ownerOfAddress = new Map<Ipv4, string>();

  /** Takes the place of an earlier reservation of the same name. */
  take(reservation: Reservation): void {
    const key = reservationKey(reservation.tenant, reservation.name);
    this.drop(key);
    this.#byName.set(key, reservation);
    for (const address of addressesOf(reservation)) this.#ownerOfAddress.set(address, key);
  }

  drop(key: string): void {
    const present = this.#byName.get(key);
    if (present === undefined) return;
    this.#byName.delete(key);
    for (const address of addressesOf(present)) this.#ownerOfAddress.delete(address);
  }

  get(key: string): Reservation | undefined {
    return this.#byName.get(key);
  }

  all(): Reservation[] {
    return [...this.#byName.values()];
  }

  /** @param own  key of the name that asks; undefined for a container without a name */
  isForOthers(address: Ipv4, own: string | undefined): boolean {
    const owner = this.#ownerOfAddress.get(address);
    return owner !== undefined && owner !== own;
  }

  /** @throws SluiceError `address_taken` when one of its addresses is kept for another name. */
  check(wanted: Reservation): void {
    const own = reservationKey(wanted.tenant, wanted.name);
    for (const address of addressesOf(wanted)) {
      if (!this.isForOthers(address, own)) continue;
      throw new SluiceError(
        'address_taken',
        `${address} is reserved for ${this.#ownerOfAddress.get(address)}`,
        'release that reservation first, or choose another address',
      );
    }
  }
}

function addressesOf({ internal, external }: Reservation): Ipv4[] {
  return [internal, external].filter((address) => address !== null);
}
