/** Puts the accounting of a node together, and settles it for the last time. */
import { type BpfMap, pinnedMap } from '../../linux/bpf.ts';
import type { Log } from '../../model/log.ts';
import { openUsageStore } from '../../store/usage.ts';
import type { MapName } from '../maps.ts';
import { mapPin, type PinDirectory } from '../pins.ts';
import { type Accounting, type Collector, createCollector, startAccounting } from './collector.ts';
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

/** @param map  gives the plane's maps, which must stay open until the accounting is closed */
export function openAccounting(map: (name: MapName) => BpfMap, options: AccountingOptions): Accounting {
  return startAccounting(collectorFor(map, options), Date.now, options.log);
}

/**
 * Writes down what was counted until the plane goes: when its maps are gone nobody can.
 * @throws SluiceError `store_failed`
 */
export function collectLast(pins: PinDirectory, stateDir: string): void {
  using opened = new DisposableStack();
  const names = ['accounts', 'account_names', 'ports_by_index'] as const;
  const maps = new Map<MapName, BpfMap>();
  for (const name of names) {
    const map = pinnedMap(mapPin(pins, name));
    if (map !== undefined) maps.set(name, opened.use(map));
  }
  if (maps.size < names.length) return;
  const collector = collectorFor((name) => maps.get(name) as BpfMap, { stateDir, keepDays: undefined });
  collector.collect();
  collector.close();
}

function collectorFor(
  map: (name: MapName) => BpfMap,
  { stateDir, keepDays }: { readonly stateDir: string; readonly keepDays: number | undefined },
): Collector {
  return createCollector({
    kernel: countingKernel(map),
    openBooks: () => openUsageStore(usageFileOf(stateDir)),
    keepDays,
    graceMs: GRACE_MS,
    now: Date.now,
    uptime: () => performance.now(),
  });
}
