/**
 * Who holds what on this node: endpoints with their addresses, published ports and link groups.
 * Kept in memory for speed and in the store for restarts; a change counts when the store has it.
 */
import type { Cidr, Ipv4 } from '../model/addresses.ts';
import { Endpoint, endpointKey, type PublishedPort, type Side } from '../model/endpoint.ts';
import { SluiceError } from '../model/errors.ts';
import type { ContainerId, ContainerName, IfName, TenantName } from '../model/names.ts';
import type { Store } from '../store/contract.ts';
import type { BlockState } from './ipam.ts';
import { FIRST_GROUP, LAST_GROUP, preferredGroup } from './names.ts';
import { Reservation, reservationKey } from './reservation.ts';

const ENDPOINTS = 'endpoints/';
const RELEASED = 'released/';
const RESERVATIONS = 'reservations/';

export interface RegistryOptions {
  readonly store: Store;
  /** Wall clock, Unix ms: a cool-down must outlive this process. */
  readonly now: () => number;
  readonly cooldownMs: number;
}

export type Registry = Awaited<ReturnType<typeof openRegistry>>;

/** Reads everything the store has about this node. */
export async function openRegistry({ store, now, cooldownMs }: RegistryOptions) {
  const endpoints = new Map<string, Endpoint>();
  const holders = new Map<Ipv4, string>();
  const ports = new Map<string, string>();
  const groups = new Set<number>();
  /** Address → Unix ms from which it may be given again. */
  const cooling = new Map<Ipv4, number>();
  const reservations = new Map<string, Reservation>();
  const reservedAddresses = new Map<Ipv4, string>();
  const lastChosen = new Map<Side, Ipv4>();

  for (const { value } of (await store.list(ENDPOINTS)).entries) remember(Endpoint.parse(value));
  for (const { key, value } of (await store.list(RELEASED)).entries) cooling.set(key.slice(RELEASED.length) as Ipv4, Number(value));
  for (const { value } of (await store.list(RESERVATIONS)).entries) rememberReservation(Reservation.parse(value));

  function remember(endpoint: Endpoint): void {
    const key = endpointKey(endpoint);
    endpoints.set(key, endpoint);
    groups.add(endpoint.group);
    for (const nic of endpoint.nics) holders.set(nic.address, key);
    for (const port of endpoint.ports) ports.set(portKey(port), key);
  }

  function forget(endpoint: Endpoint): void {
    endpoints.delete(endpointKey(endpoint));
    groups.delete(endpoint.group);
    for (const nic of endpoint.nics) holders.delete(nic.address);
    for (const port of endpoint.ports) ports.delete(portKey(port));
  }

  function rememberReservation(reservation: Reservation): void {
    const key = reservationKey(reservation.tenant, reservation.name);
    reservations.set(key, reservation);
    for (const address of [reservation.internal, reservation.external]) if (address !== null) reservedAddresses.set(address, key);
  }

  async function write(change: Parameters<Store['txn']>[0]): Promise<void> {
    const result = await store.txn(change);
    if (!result.ok) throw new SluiceError('store_failed', 'another process changed this node\'s records', 'make sure that only one netd runs for this node');
  }

  return {
    get: (container: ContainerId, ifName: IfName): Endpoint | undefined => endpoints.get(`${container}/${ifName}`),
    all: (): readonly Endpoint[] => [...endpoints.values()],
    ofContainer: (container: ContainerId): readonly Endpoint[] => [...endpoints.values()].filter((endpoint) => endpoint.containerId === container),
    reservation: (tenant: TenantName, name: ContainerName): Reservation | undefined => reservations.get(reservationKey(tenant, name)),
    allReservations: (): readonly Reservation[] => [...reservations.values()],

    /** What IPAM has to know to choose for a container of this name. */
    blockState(side: Side, block: Cidr, tenant: TenantName, name: ContainerName | null): BlockState {
      const own = name === null ? undefined : reservationKey(tenant, name);
      return {
        block,
        last: lastChosen.get(side),
        isLive: (address) => holders.has(address),
        isCooling: (address) => (cooling.get(address) ?? 0) > now(),
        isReservedForOthers: (address) => reservedAddresses.has(address) && reservedAddresses.get(address) !== own,
      };
    },

    /** @throws SluiceError `port_taken` naming the holder. */
    checkPorts(wanted: readonly PublishedPort[]): void {
      for (const port of wanted) {
        const holder = holderOfPort(ports, port);
        if (holder !== undefined) {
          throw new SluiceError('port_taken', `${port.protocol} port ${port.hostPort} of this node is published by container ${holder}`, 'choose another host port, or remove that container');
        }
      }
    },

    /** @returns a link group no other endpoint has. */
    freeGroup(container: ContainerId, ifName: IfName): number {
      let group = preferredGroup(container, ifName);
      while (groups.has(group)) group = group === LAST_GROUP ? FIRST_GROUP : group + 1;
      return group;
    },

    /**
     * Takes a new endpoint in, as `adding`: its addresses, ports and group are held from now on.
     * They are held in memory before the store has answered, so that two ADDs cannot choose the same.
     */
    async admit(endpoint: Endpoint, reservation?: Reservation): Promise<void> {
      remember(endpoint);
      for (const nic of endpoint.nics) lastChosen.set(nic.side, nic.address);
      try {
        const put = [{ key: ENDPOINTS + endpointKey(endpoint), value: endpoint }];
        if (reservation) put.push({ key: RESERVATIONS + reservationKey(reservation.tenant, reservation.name), value: reservation as never });
        await write({ put });
      } catch (error) {
        forget(endpoint);
        throw error;
      }
      if (reservation) rememberReservation(reservation);
    },

    /** Writes down how far an endpoint has come. */
    async advance(endpoint: Endpoint, phase: Endpoint['phase']): Promise<Endpoint> {
      const next = { ...endpoint, phase };
      await write({ put: [{ key: ENDPOINTS + endpointKey(endpoint), value: next }] });
      endpoints.set(endpointKey(endpoint), next);
      return next;
    },

    /** Lets an endpoint go; its addresses rest for the cool-down. */
    async release(endpoint: Endpoint): Promise<void> {
      const at = now();
      const until = at + cooldownMs;
      const rested = [...cooling].filter(([, free]) => free <= at).map(([address]) => address);
      const addresses = endpoint.nics.map((nic) => nic.address);
      await write({
        delete: [ENDPOINTS + endpointKey(endpoint), ...rested.filter((address) => !addresses.includes(address)).map((address) => RELEASED + address)],
        put: addresses.map((address) => ({ key: RELEASED + address, value: until })),
      });
      forget(endpoint);
      for (const address of rested) cooling.delete(address);
      for (const address of addresses) cooling.set(address, until);
    },

    /** Keeps addresses for the container of a name, whether it runs or not. */
    async reserve(reservation: Reservation): Promise<void> {
      for (const address of [reservation.internal, reservation.external]) {
        const holder = address === null ? undefined : reservedAddresses.get(address);
        if (holder !== undefined && holder !== reservationKey(reservation.tenant, reservation.name)) {
          throw new SluiceError('address_taken', `${address} is reserved for ${holder}`, 'release that reservation first, or choose another address');
        }
      }
      await write({ put: [{ key: RESERVATIONS + reservationKey(reservation.tenant, reservation.name), value: reservation }] });
      dropReservation(reservationKey(reservation.tenant, reservation.name));
      rememberReservation(reservation);
    },

    /** @throws SluiceError `not_found`. */
    async unreserve(tenant: TenantName, name: ContainerName): Promise<void> {
      const key = reservationKey(tenant, name);
      if (!reservations.has(key)) throw new SluiceError('not_found', `no address is reserved for ${key}`, 'see `sluice endpoint list --reserved`');
      await write({ delete: [RESERVATIONS + key] });
      dropReservation(key);
    },
  };

  function dropReservation(key: string): void {
    reservations.delete(key);
    for (const [address, holder] of reservedAddresses) if (holder === key) reservedAddresses.delete(address);
  }
}

function portKey(port: Pick<PublishedPort, 'protocol' | 'hostPort' | 'hostIp'>): string {
  return `${port.protocol}/${port.hostPort}/${port.hostIp ?? '*'}`;
}

/** A port of all addresses and the same port of one address exclude each other, as with bind(2). */
function holderOfPort(ports: ReadonlyMap<string, string>, wanted: PublishedPort): string | undefined {
  if (wanted.hostIp !== null) return ports.get(portKey(wanted)) ?? ports.get(portKey({ ...wanted, hostIp: null }));
  const prefix = `${wanted.protocol}/${wanted.hostPort}/`;
  for (const [key, holder] of ports) if (key.startsWith(prefix)) return holder;
  return undefined;
}
