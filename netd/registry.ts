/**
 * Who holds what on this node: endpoints with their addresses, published ports and link groups.
 * Kept in memory for speed and in the store for restarts; a change counts when the store has it.
 */
import type * as z from 'zod';
import type { Cidr, Ipv4 } from '../model/addresses.ts';
import { Endpoint, endpointKey, type PublishedPort, type Side } from '../model/endpoint.ts';
import { SluiceError } from '../model/errors.ts';
import type { ContainerId, ContainerName, IfName, TenantName } from '../model/names.ts';
import type { Put, Store, Txn } from '../store/contract.ts';
import { Holdings } from './holdings.ts';
import type { BlockState } from './ipam.ts';
import { FIRST_GROUP, LAST_GROUP, preferredGroup } from './names.ts';
import { Reservation, Reservations, reservationKey } from './reservation.ts';

const ENDPOINTS = 'endpoints/';
const RELEASED = 'released/';
const RESERVATIONS = 'reservations/';

export interface RegistryOptions {
  readonly store: Store;
  /** Wall clock, Unix ms: a cool-down must outlive this process. */
  readonly now: () => number;
  readonly cooldownMs: number;
}

/** Reads everything the store has about this node. */
export async function openRegistry(options: RegistryOptions): Promise<Registry> {
  const registry = new Registry(options);
  await registry.load();
  return registry;
}

export class Registry {
  readonly #store: Store;
  readonly #now: () => number;
  readonly #cooldownMs: number;
  readonly #holdings = new Holdings();
  readonly #reservations = new Reservations();
  /** Address → Unix ms from which it may be given again. */
  readonly #resting = new Map<Ipv4, number>();
  readonly #lastChosen = new Map<Side, Ipv4>();

  constructor({ store, now, cooldownMs }: RegistryOptions) {
    this.#store = store;
    this.#now = now;
    this.#cooldownMs = cooldownMs;
  }

  async load(): Promise<void> {
    for (const entry of await this.#list(ENDPOINTS)) this.#holdings.take(parsed(Endpoint, entry));
    for (const { key, value } of await this.#list(RELEASED)) this.#resting.set(addressOf(key), Number(value));
    for (const entry of await this.#list(RESERVATIONS)) this.#reservations.take(parsed(Reservation, entry));
  }

  get(container: ContainerId, ifName: IfName): Endpoint | undefined {
    return this.#holdings.get(endpointKey({ containerId: container, ifName }));
  }

  all(): readonly Endpoint[] {
    return this.#holdings.all();
  }

  reservation(tenant: TenantName, name: ContainerName): Reservation | undefined {
    return this.#reservations.get(reservationKey(tenant, name));
  }

  allReservations(): readonly Reservation[] {
    return this.#reservations.all();
  }

  /** What IPAM has to know to choose for a container of this name. */
  blockState(side: Side, block: Cidr, tenant: TenantName, name: ContainerName | null): BlockState {
    const own = name === null ? undefined : reservationKey(tenant, name);
    return {
      block,
      last: this.#lastChosen.get(side),
      isLive: (address) => this.#holdings.holdsAddress(address),
      isCooling: (address) => (this.#resting.get(address) ?? 0) > this.#now(),
      isReservedForOthers: (address) => this.#reservations.isForOthers(address, own),
    };
  }

  /** @throws SluiceError `port_taken` naming the holder. */
  checkPorts(wanted: readonly PublishedPort[]): void {
    for (const port of wanted) {
      const holder = this.#holdings.holderOfPort(port);
      if (holder === undefined) continue;
      throw new SluiceError(
        'port_taken',
        `${port.protocol} port ${port.hostPort} of this node is published by container ${holder}`,
        'choose another host port, or remove that container',
      );
    }
  }

  /** @returns a link group no other endpoint has. */
  freeGroup(container: ContainerId, ifName: IfName): number {
    let group = preferredGroup(container, ifName);
    while (this.#holdings.holdsGroup(group)) group = group === LAST_GROUP ? FIRST_GROUP : group + 1;
    return group;
  }

  /**
   * Takes a new endpoint in, as `adding`: its addresses, ports and group are held from now on.
   * They are held in memory before the store has answered, so that two ADDs cannot choose the same.
   */
  async admit(endpoint: Endpoint, reservation?: Reservation): Promise<void> {
    this.#holdings.take(endpoint);
    for (const nic of endpoint.nics) this.#lastChosen.set(nic.side, nic.address);
    try {
      await this.#write({ put: [recordOf(endpoint), ...(reservation ? [keptAs(reservation)] : [])] });
    } catch (error) {
      this.#holdings.drop(endpoint);
      throw error;
    }
    if (reservation) this.#reservations.take(reservation);
  }

  /** Writes down how far an endpoint has come. */
  async advance(endpoint: Endpoint, phase: Endpoint['phase']): Promise<Endpoint> {
    const next = { ...endpoint, phase };
    await this.#write({ put: [recordOf(next)] });
    this.#holdings.take(next);
    return next;
  }

  /** Switches choose it by other labels from now on. */
  async label(endpoint: Endpoint, labels: Endpoint['labels']): Promise<Endpoint> {
    const next = { ...endpoint, labels };
    await this.#write({ put: [recordOf(next)] });
    this.#holdings.take(next);
    return next;
  }

  /** Lets an endpoint go; its addresses rest for the cool-down. */
  async release(endpoint: Endpoint): Promise<void> {
    const until = this.#now() + this.#cooldownMs;
    const addresses = endpoint.nics.map(({ address }) => address);
    const rested = this.#rested().filter((address) => !addresses.includes(address));
    await this.#write({
      delete: [ENDPOINTS + endpointKey(endpoint), ...rested.map((address) => RELEASED + address)],
      put: addresses.map((address) => ({ key: RELEASED + address, value: until })),
    });
    this.#holdings.drop(endpoint);
    for (const address of rested) this.#resting.delete(address);
    for (const address of addresses) this.#resting.set(address, until);
  }

  /** Keeps addresses for the container of a name, whether it runs or not. */
  async reserve(reservation: Reservation): Promise<void> {
    this.#reservations.check(reservation);
    await this.#write({ put: [keptAs(reservation)] });
    this.#reservations.take(reservation);
  }

  /** @throws SluiceError `not_found`. */
  async unreserve(tenant: TenantName, name: ContainerName): Promise<void> {
    const key = reservationKey(tenant, name);
    if (this.#reservations.get(key) === undefined) {
      throw new SluiceError(
        'not_found',
        `no address is reserved for ${key}`,
        'see `sluice endpoint list --reserved`',
      );
    }
    await this.#write({ delete: [RESERVATIONS + key] });
    this.#reservations.drop(key);
  }

  /** Addresses whose rest is over: nobody needs to remember them. */
  #rested(): Ipv4[] {
    const now = this.#now();
    return [...this.#resting].filter(([, free]) => free <= now).map(([address]) => address);
  }

  async #list(prefix: string): Promise<readonly Entry[]> {
    return (await this.#store.list(prefix)).entries;
  }

  async #write(txn: Txn): Promise<void> {
    const { ok } = await this.#store.txn(txn);
    if (ok) return;
    throw new SluiceError(
      'store_failed',
      "another process changed this node's records",
      'make sure that only one netd runs for this node',
    );
  }
}

interface Entry {
  readonly key: string;
  readonly value: unknown;
}

/** @throws SluiceError `store_failed`: going on without the record would give its addresses to somebody else. */
function parsed<S extends z.ZodType>(schema: S, { key, value }: Entry): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const wrong = result.error.issues.map(({ path }) => path.join('.')).join(', ');
  throw new SluiceError(
    'store_failed',
    `the record ${key} cannot be read (${wrong})`,
    'it was left untouched: run the sluice that wrote it, or put a backup of netd.sqlite in its place',
  );
}

function recordOf(endpoint: Endpoint): Put {
  return { key: ENDPOINTS + endpointKey(endpoint), value: endpoint };
}

function keptAs(reservation: Reservation): Put {
  return { key: RESERVATIONS + reservationKey(reservation.tenant, reservation.name), value: reservation };
}

function addressOf(releasedKey: string): Ipv4 {
  return releasedKey.slice(RELEASED.length) as Ipv4;
}
