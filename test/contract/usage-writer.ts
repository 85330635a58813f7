/** A process that collects from a counter of its own until it is killed, for the contract test of the books of usage. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { ContainerId, IfName, TenantTag } from '../../model/names.ts';
import { type AccountId, HOUR_MS, NOTHING } from '../../model/usage.ts';
import { openUsageStore } from '../../store/usage.ts';
import { createCollector } from '../../tagqueue/accounts/collector.ts';

const [file = '', counterFile = ''] = process.argv.slice(2);
const account = 1n as AccountId;

/** Stands for the kernel: it counts, and it outlives this process. */
let counter = BigInt(readFileSync(counterFile, 'utf8'));

const collector = createCollector({
  kernel: {
    read: () => ({
      source: 'map 1',
      counters: new Map([[account, { ...NOTHING, sentBytes: counter, sentPackets: counter / 10n }]]),
      named: new Set([account]),
      ownerOf: () => ({
        ...{ tag: 1 as TenantTag, side: 'external', container: 'c1' as ContainerId },
        ifName: 'eth0' as IfName,
      }),
    }),
    bound: () => new Set([account]),
    remove: () => {},
  },
  openBooks: () => openUsageStore(file, { durability: 'normal' }),
  ...{ keepDays: 1, graceMs: 0, now: () => 1_000 * HOUR_MS, uptime: () => 0 },
});

for (;;) {
  counter += 10n;
  writeFileSync(`${counterFile}.new`, String(counter));
  renameSync(`${counterFile}.new`, counterFile);
  collector.collect();
  await new Promise((resolve) => process.stdout.write(`${counter}\n`, resolve));
}
