/** What the endpoints of this node hold, findable by each thing held. In memory only. */
import type { Ipv4 } from '../model/addresses.ts';
import { type Endpoint, endpointKey, type PublishedPort } from '../model/endpoint.ts';

export class Holdings {
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #holderOfAddress = new Map<Ipv4, string>();
  readonly #holderOfPort = new Map<string, string>();
  readonly #groups = new Set<number>();

  /** Takes an endpoint in, or its newer record. */
  take(endpoint: Endpoint): void {
    const key = endpointKey(endpoint);
    this.#endpoints.set(key, endpoint);
    this.#groups.add(endpoint.group);
    for (const nic of endpoint.nics) this.#holderOfAddress.set(nic.address, key);
    for (const port of endpoint.ports) this.#holderOfPort.set(portKey(port), key);
  }

  drop(endpoint: Endpoint): void {
    this.#endpoints.delete(endpointKey(endpoint));
    this.#groups.delete(endpoint.group);
    for (const nic of endpoint.nics) this.#holderOfAddress.delete(nic.address);
    for (const port of endpoint.ports) this.#holderOfPort.delete(portKey(port));
  }

  get(key: string): Endpoint | undefined {
    return this.#endpoints.get(key);
  }

  all(): Endpoint[] {
    return [...this.#endpoints.values()];
  }

  holdsAddress(address: Ipv4): boolean {
    return this.#holderOfAddress.has(address);
  }

  holdsGroup(group: number): boolean {
    return this.#groups.has(group);
  }

  /** Who stands in the way. A port of all addresses and the same port of one exclude each other, as with bind(2). */
  holderOfPort(wanted: PublishedPort): string | undefined {
    if (wanted.hostIp !== null) {
      const ofAll = portKey({ ...wanted, hostIp: null });
      return this.#holderOfPort.get(portKey(wanted)) ?? this.#holderOfPort.get(ofAll);
    }
    const prefix = `${wanted.protocol}/${wanted.hostPort}/`;
    for (const [key, holder] of this.#holderOfPort) if (key.startsWith(prefix)) return holder;
    return undefined;
  }
}

function portKey({ protocol, hostPort, hostIp }: PublishedPort): string {
  return `${protocol}/${hostPort}/${hostIp ?? '*'}`;
}
