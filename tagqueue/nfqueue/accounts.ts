/** The kernel's side of the accounts without eBPF: counters of the bridge table. */
import { readTextIfThere } from '../../linux/files.ts';
import type { Nftables } from '../../linux/nft.ts';
import { type NamedCounter, openNftElements } from '../../linux/nft-elements.ts';
import { SluiceError } from '../../model/errors.ts';
import type { AccountId, AccountOwner, Counters } from '../../model/usage.ts';
import type { CountingKernel } from '../accounts/collector.ts';
import type { CountedAccounts } from '../accounts/ledger.ts';
import { accountOfCounter, type Direction, ownerOf, removeAccountScript } from './account-rules.ts';
import { portOf, SENDERS } from './port-rules.ts';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';
/** Where bridges ask nftables, packets begin behind their Ethernet header; interfaces and the programs count it. */
const ETHERNET_BYTES = 14n;

/** @param nft  for removing; it must stay open */
export function tableCountingKernel(nft: Nftables, table: string): CountingKernel {
  return {
    read: () => {
      using reader = openNftElements();
      const found = reader.counters('bridge', table);
      if (found === undefined) throw tableGone(table);
      const source = `${readTextIfThere(BOOT_ID)?.trim()}/nft-${found.handle}`;
      return { source, ...accountsIn(found.counters) };
    },
    bound: () => {
      using reader = openNftElements();
      const elements = reader.list('bridge', table, SENDERS) ?? [];
      return new Set(
        elements.flatMap(({ key, comment }) => portOf(key.readUInt32LE(), comment)?.account ?? []),
      );
    },
    remove: (account) => nft.apply('remove an account', removeAccountScript(table, account)),
  };
}

/** Both counters of an account are made in one transaction, so that none is ever there alone. */
function accountsIn(all: readonly NamedCounter[]): Omit<CountedAccounts, 'source'> {
  const pairs = new Map<AccountId, Partial<Record<Direction, NamedCounter>>>();
  for (const counter of all) {
    const named = accountOfCounter(counter.name);
    if (named !== undefined)
      pairs.set(named.account, { ...pairs.get(named.account), [named.direction]: counter });
  }
  const counters = new Map<AccountId, Counters>();
  const owners = new Map<AccountId, AccountOwner>();
  for (const [account, { sent, received }] of pairs) {
    if (sent === undefined || received === undefined) continue;
    counters.set(account, {
      sentBytes: bytesOf(sent),
      sentPackets: sent.packets,
      receivedBytes: bytesOf(received),
      receivedPackets: received.packets,
    });
    const owner = ownerOf({ sent: sent.comment, received: received.comment });
    if (owner !== undefined) owners.set(account, owner);
  }
  return { counters, named: new Set(owners.keys()), ownerOf: (account) => owners.get(account) };
}

function bytesOf({ bytes, packets }: NamedCounter): bigint {
  return bytes + packets * ETHERNET_BYTES;
}

function tableGone(table: string): SluiceError {
  return new SluiceError(
    'kernel_refused',
    `the nftables table ${table} is gone, and what it has counted with it`,
    'it is made anew within seconds; find out who flushes nftables',
  );
}
