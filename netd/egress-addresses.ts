/** Addresses of the uplink by which single tenants leave: put there when rules want them, taken away with the rules. */
import * as z from 'zod';
import { addAddress, listAddresses, removeAddress } from '../linux/addressing.ts';
import { type Cidr, Ipv4 } from '../model/addresses.ts';
import type { Store } from '../store/contract.ts';
import { egressAddresses, type NodeFacts } from './facts.ts';
import { type Kernel, requireLink } from './kernel.ts';

/** Those that netd has put there; an administrator's own are never taken away. */
const RECORD = 'egress-addresses';
const Held = z.array(Ipv4);

export interface EgressPlan {
  readonly add: readonly Ipv4[];
  readonly remove: readonly Ipv4[];
  /** What netd is answerable for afterwards. */
  readonly held: readonly Ipv4[];
}

/**
 * @param present  all addresses of the uplink
 * @param held     those of them that netd has put there, as far as it has written down
 */
export function planEgress(
  wanted: readonly Ipv4[],
  present: readonly Ipv4[],
  held: readonly Ipv4[],
): EgressPlan {
  const add = wanted.filter((address) => !present.includes(address));
  const remove = held.filter((address) => !wanted.includes(address));
  const kept = held.filter((address) => wanted.includes(address) && !add.includes(address));
  return { add, remove: remove.filter((address) => present.includes(address)), held: [...kept, ...add] };
}

/** @returns what was changed, in words */
export async function settleEgress({ route }: Kernel, facts: NodeFacts, store: Store): Promise<string[]> {
  const recorded = Held.parse((await store.get(RECORD))?.value ?? []);
  const wanted = egressAddresses(facts);
  if (recorded.length === 0 && wanted.length === 0) return [];
  const { index } = await requireLink(route, facts.uplink);
  const present = (await listAddresses(route)).filter((one) => one.index === index);
  const plan = planEgress(
    wanted,
    present.map(({ address }) => address),
    recorded,
  );
  if (plan.add.length + plan.remove.length === 0 && plan.held.length === recorded.length) return [];
  // Written down before they are there, and forgotten after they are gone: a crash in between leaves no stray.
  await store.txn({ put: [{ key: RECORD, value: [...plan.held, ...plan.remove] }] });
  for (const address of plan.add) await addAddress(route, index, address, alone(address));
  for (const address of plan.remove) await removeAddress(route, index, address, alone(address));
  await store.txn({ put: [{ key: RECORD, value: plan.held }] });
  return [
    ...plan.add.map((address) => `node: egress address ${address} added`),
    ...plan.remove.map((address) => `node: egress address ${address} removed`),
  ];
}

function alone(address: Ipv4): Cidr {
  return `${address}/32` as Cidr;
}

/** Takes all of them away. @returns whether there were any */
export async function removeEgress(route: Kernel['route'], store: Store): Promise<boolean> {
  const recorded = Held.parse((await store.get(RECORD))?.value ?? []);
  const present = await listAddresses(route);
  for (const { index, address, prefix } of present) {
    if (prefix === 32 && recorded.includes(address))
      await removeAddress(route, index, address, alone(address));
  }
  await store.txn({ delete: [RECORD] });
  return recorded.length > 0;
}
