/** Puts the accounting of a node together, and settles it for the last time. */
import { type BpfMap, pinnedMap } from '../../linux/bpf.ts';
import { openNftables } from '../../linux/nft.ts';
import type { Log } from '../../model/log.ts';
import { openUsageStore } from '../../store/usage.ts';
import type { MapName } from '../maps.ts';
import { tableCountingKernel } from '../nfqueue/accounts.ts';
import { mapPin, type PinDirectory } from '../pins.ts';
import {
  type Accounting,
  type Collector,
  type CountingKernel,
  createCollector,
  startAccounting,
} from './collector.ts';
import { countingKernel } from './kernel.ts';

export interface AccountingOptions {
  readonly stateDir: string;
  readonly keepDays: number;
  readonly log: Log;
}

/** A port that is being repaired is back within a second. */
const GRACE_MS = 30_000;

export function usageFileOf(stateDir: string): string {
  return `${stateDir}/tagqueue.sqlite`;
}

/** @param kernel  the plane's counters, which must stay open until the accounting is closed */
export function openAccounting(kernel: CountingKernel, options: AccountingOptions): Accounting {
  return startAccounting(collectorFor(kernel, options), Date.now, options.log);
}

export interface LastCollection {
  readonly stateDir: string;
  /** Whether another plane counts from now on. */
  readonly leftover: boolean;
}

/**
 * Writes down what the programs have counted: when their maps are gone nobody can.
 * @throws SluiceError `store_failed`
 */
export function collectFromPins(pins: PinDirectory, last: LastCollection): void {
  using opened = new DisposableStack();
  const names = ['accounts', 'account_names', 'ports_by_index'] as const;
  const maps = new Map<MapName, BpfMap>();
  for (const name of names) {
    const map = pinnedMap(mapPin(pins, name));
    if (map !== undefined) maps.set(name, opened.use(map));
  }
  if (maps.size < names.length) return;
  collectOnce(
    countingKernel((name) => maps.get(name) as BpfMap),
    last,
  );
}

/**
 * The same for the plane without eBPF. A table that is not there is no error.
 * @throws SluiceError `store_failed`
 */
export function collectFromTable(table: string, last: LastCollection): void {
  const nft = openNftables();
  try {
    if (nft.list(`counters table bridge ${table}`) !== undefined)
      collectOnce(tableCountingKernel(nft, table), last);
  } finally {
    nft.close();
  }
}

function collectOnce(kernel: CountingKernel, last: LastCollection): void {
  const collector = collectorFor(kernel, { ...last, keepDays: undefined });
  try {
    collector.collect();
  } finally {
    collector.close();
  }
}

function collectorFor(
  kernel: CountingKernel,
  {
    stateDir,
    keepDays,
    leftover = false,
  }: { readonly stateDir: string; readonly keepDays: number | undefined; readonly leftover?: boolean },
): Collector {
  return createCollector({
    kernel,
    leftover,
    openBooks: () => openUsageStore(usageFileOf(stateDir)),
    keepDays,
    graceMs: GRACE_MS,
    now: Date.now,
    uptime: () => performance.now(),
  });
}
