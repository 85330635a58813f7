/** Keeps the guard's sets in the node's table as the records have it, without a moment in which one is missing. */
import { type Endpoint, nicOf } from '../model/endpoint.ts';
import type { NodeFacts } from './facts.ts';
import { egressSet, GUARDED_SET } from './guard-rules.ts';
import type { Kernel } from './kernel.ts';

/** By set, the addresses that belong into it. */
export function guardElements(
  { guards }: Pick<NodeFacts, 'guards'>,
  endpoints: readonly Endpoint[],
): Map<string, string[]> {
  const sets = new Map<string, string[]>([[GUARDED_SET, []]]);
  for (const { tag, egress } of guards.values()) if (egress !== undefined) sets.set(egressSet(tag), []);
  for (const endpoint of endpoints) {
    const guard = guards.get(endpoint.tenant);
    const address = nicOf(endpoint, 'external')?.address;
    if (guard === undefined || address === undefined) continue;
    sets.get(GUARDED_SET)?.push(address);
    sets.get(egressSet(guard.tag))?.push(address);
  }
  return sets;
}

/** One transaction: all sets emptied and filled again. */
export function guardElementsScript(table: string, sets: ReadonlyMap<string, readonly string[]>): string {
  return [...sets]
    .map(([set, addresses]) => {
      const fill =
        addresses.length === 0 ? '' : `add element ip ${table} ${set} { ${addresses.join(', ')} }\n`;
      return `flush set ip ${table} ${set}\n${fill}`;
    })
    .join('');
}

/** @returns whether anything had to be changed */
export function settleGuardSets(
  { nft }: Pick<Kernel, 'nft'>,
  facts: NodeFacts,
  endpoints: readonly Endpoint[],
): boolean {
  if (facts.guards.size === 0) return false;
  const sets = guardElements(facts, endpoints);
  const differs = [...sets].some(([set, addresses]) => {
    const listed = nft.list(`set ip ${facts.table} ${set}`) ?? [];
    return elementsOf(listed).sort().join() !== [...addresses].sort().join();
  });
  if (differs) nft.apply('fill the guard sets', guardElementsScript(facts.table, sets));
  return differs;
}

function elementsOf(objects: readonly Readonly<Record<string, unknown>>[]): string[] {
  const set = objects.map((object) => object['set']).find((found) => found !== undefined);
  return ((set as { readonly elem?: readonly unknown[] } | undefined)?.elem ?? []).map(String);
}
