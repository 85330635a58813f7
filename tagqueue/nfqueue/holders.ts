/** Finds out whose container has an external address, where the ports are elements of a table: as the kernel has it at that moment. */
import type { NftElements } from '../../linux/nft-elements.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import type { PortBinding } from '../maps.ts';
import { portOf, SENDERS } from './port-rules.ts';

/**
 * The elements are read again only after nftables has changed, which is asked for each address: nothing can be out of date.
 * @returns a function from address to who has it; undefined: nobody has
 */
export function tableHolderFinder(
  elements: NftElements,
  table: string,
): (address: Ipv4) => PortBinding | undefined {
  let known: ReadonlyMap<Ipv4, PortBinding> = new Map();
  let readAt: number | undefined;
  return (address) => {
    const generation = elements.generation();
    if (generation !== readAt) {
      known = externalPorts(elements, table);
      // A change in the meantime shows at the next look.
      readAt = generation;
    }
    return known.get(address);
  };
}

function externalPorts(elements: NftElements, table: string): Map<Ipv4, PortBinding> {
  const ports = (elements.list('bridge', table, SENDERS) ?? []).flatMap(({ key, comment }) => {
    const port = portOf(key.readUInt32LE(), comment);
    return port?.side === 'external' ? [port] : [];
  });
  return new Map(ports.map((port) => [port.address, port]));
}
