/** What this machine has to give: processors, memory, and what its uplink carries. */
import { readFileSync } from 'node:fs';
import os from 'node:os';
import type { Capacity } from '../model/limits.ts';
import type { IfName } from '../model/names.ts';

const MEGABIT = 1_000_000;

export function readCapacity(uplink: IfName): Capacity {
  return { cpu: os.availableParallelism(), memory: os.totalmem(), uplink: speedOf(uplink) };
}

/** In Mbit/s; -1 and EINVAL where the driver does not know (Documentation/ABI/testing/sysfs-class-net). */
function speedOf(uplink: IfName): number | null {
  try {
    const speed = Number(readFileSync(`/sys/class/net/${uplink}/speed`, 'utf8'));
    return speed > 0 ? speed * MEGABIT : null;
  } catch {
    return null;
  }
}
