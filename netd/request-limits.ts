/**
 * Request limits: while a container is busy, new connections to its published ports come in only so fast. What is wanted
 * is kept in the node's records, what holds is in the kernel, as elements of a set (netd/flow-limits.ts).
 */
import type { Nftables } from '../linux/nft.ts';
import type { Ipv4 } from '../model/addresses.ts';
import { SluiceError } from '../model/errors.ts';
import { RequestLimit } from '../model/request-limit.ts';
import type { Store } from '../store/contract.ts';
import { flowsTable, SLOWED_COUNTER, SLOWED_SET } from './flow-limits.ts';

const PREFIX = 'requests/';

/** By endpoint. */
export type RequestLimits = ReadonlyMap<string, RequestLimit>;

/** @throws SluiceError `store_failed` for a record that cannot be read */
export async function loadRequestLimits(store: Store): Promise<Map<string, RequestLimit>> {
  const { entries } = await store.list(PREFIX);
  return new Map(
    entries.map(({ key, value }) => {
      const parsed = RequestLimit.safeParse(value);
      if (parsed.success) return [key.slice(PREFIX.length), parsed.data];
      throw new SluiceError(
        'store_failed',
        `the record ${key} cannot be read`,
        'run the sluice that wrote it, or put a backup of netd.sqlite in its place',
      );
    }),
  );
}

/** @param limit  undefined: none any more */
export async function keepRequestLimit(
  store: Store,
  endpoint: string,
  limit: RequestLimit | undefined,
): Promise<void> {
  const key = PREFIX + endpoint;
  await store.txn(limit === undefined ? { delete: [key] } : { put: [{ key, value: limit }] });
}

/** Connections a second by address. */
export type SlowedAddresses = ReadonlyMap<Ipv4, number>;

/** What the kernel holds. @returns undefined as long as the table is not there */
export function slowedInKernel(nft: Nftables, table: string): Map<Ipv4, number> | undefined {
  const listed = nft.list(`set ip ${flowsTable(table)} ${SLOWED_SET}`);
  const set = listed?.map((object) => object['set']).find((found) => found !== undefined) as
    | { readonly elem?: readonly ListedElement[] }
    | undefined;
  if (set === undefined) return undefined;
  return new Map((set.elem ?? []).map(({ elem }) => [elem.val as Ipv4, elem.limit?.rate ?? 0]));
}

/** libnftables-json(5): an element with a statement of its own. */
interface ListedElement {
  readonly elem: { readonly val: string; readonly limit?: { readonly rate: number } };
}

/**
 * One transaction; those that stay keep the tokens they have. Empty when nothing is to be done.
 * @param wanted  at most that many a second each, evenly: a tenth of a second's worth at once
 */
export function slowedScript(table: string, present: SlowedAddresses, wanted: SlowedAddresses): string {
  const set = `ip ${flowsTable(table)} ${SLOWED_SET}`;
  const gone = [...present].filter(([address, rate]) => wanted.get(address) !== rate);
  const fresh = [...wanted].filter(([address, rate]) => present.get(address) !== rate);
  return [
    ...gone.map(([address]) => `delete element ${set} { ${address} }\n`),
    ...fresh.map(
      ([address, rate]) =>
        `add element ${set} { ${address} limit rate over ${rate}/second burst ${Math.ceil(rate / 10)} packets }\n`,
    ),
  ].join('');
}

/** First packets that were refused since the table was made; of those who come again each counts. */
export function refusedWhileBusy(nft: Nftables, table: string): number {
  const listed = nft.list(`counter ip ${flowsTable(table)} ${SLOWED_COUNTER}`) ?? [];
  const counter = listed.map((object) => object['counter']).find((found) => found !== undefined);
  return (counter as { readonly packets?: number } | undefined)?.packets ?? 0;
}
