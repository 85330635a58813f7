/** Finds out whose container has an external address, by asking the plane itself: nothing here can be out of date. */
import { type BpfMap, lookupMap, mapEntries } from '../../linux/bpf.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { decodePort, indexKey, type PortBinding } from '../maps.ts';

/** A whole look through the ports for addresses that nobody has: at most so often. */
const SEARCH_EVERY_MS = 20;

/**
 * @param ports  the map `ports_by_index`
 * @returns a function from address and time (ms) to who has it; undefined: nobody has
 */
export function holderFinder(ports: BpfMap): (address: Ipv4, now: number) => PortBinding | undefined {
  const known = new Map<Ipv4, number>();
  let searchedAt = Number.NEGATIVE_INFINITY;

  const bindingAt = (ifindex: number, address: Ipv4): PortBinding | undefined => {
    const value = lookupMap(ports, indexKey(ifindex));
    const binding = value && decodePort(value);
    return binding?.address === address && binding.side === 'external' ? binding : undefined;
  };
  const search = (): void => {
    known.clear();
    for (const [, value] of mapEntries(ports)) {
      const { side, address, ifindex } = decodePort(value);
      if (side === 'external') known.set(address, ifindex);
    }
  };

  return (address, now) => {
    const ifindex = known.get(address);
    const found = ifindex === undefined ? undefined : bindingAt(ifindex, address);
    if (found !== undefined || now - searchedAt < SEARCH_EVERY_MS) return found;
    searchedAt = now;
    search();
    const later = known.get(address);
    return later === undefined ? undefined : bindingAt(later, address);
  };
}
