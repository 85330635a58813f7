/** The kernel's side of the accounts: the plane's maps. */
import { type BpfMap, deleteFromMap, mapEntries, perCpuEntries } from '../../linux/bpf.ts';
import { readTextIfThere } from '../../linux/files.ts';
import { accountKey, accountOfKey, decodeAccountName, decodePort, type MapName } from '../maps.ts';
import type { CountingKernel } from './collector.ts';
import type { CountedAccounts } from './ledger.ts';
import { sumAccount } from './sum.ts';

/** Changes with every start of the machine; a map's id is never given twice in between. */
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** @param map  gives the plane's maps, which must stay open */
export function countingKernel(map: (name: MapName) => BpfMap): CountingKernel {
  const [accounts, names, ports] = [map('accounts'), map('account_names'), map('ports_by_index')];
  const source = `${readTextIfThere(BOOT_ID)?.trim()}/${accounts.id}`;
  return {
    read: () => readAccounts(source, accounts, names),
    bound: () => new Set(mapEntries(ports).map(([, value]) => decodePort(value).account)),
    remove: (account) => {
      const key = accountKey(account);
      // The name first: whoever has counters can still be found, and what is written down needs no name.
      deleteFromMap(names, key);
      deleteFromMap(accounts, key);
    },
  };
}

/** Counters before names: netd makes them the other way round, so all that are found have one. */
function readAccounts(source: string, accounts: BpfMap, names: BpfMap): CountedAccounts {
  const counters = new Map(
    perCpuEntries(accounts).map(([key, values]) => [accountOfKey(key), sumAccount(values)]),
  );
  const owners = new Map(mapEntries(names).map(([key, value]) => [accountOfKey(key), value]));
  return {
    source,
    counters,
    named: new Set(owners.keys()),
    ownerOf: (account) => {
      const owner = owners.get(account);
      return owner && decodeAccountName(owner);
    },
  };
}
