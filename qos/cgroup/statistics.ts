/** What a container has used and where it was held up, from the kernel's counters of either version. */
import { hasFile, subtreeOf, textOf } from '../../linux/cgroup-files.ts';
import type { CgroupStatistics } from '../contract.ts';

const NS_PER_S = 1e9;
const US_PER_S = 1e6;

type Directories = (controller: string) => string | undefined;

/** @returns undefined when all of its groups are gone */
export function statisticsOf(directoryOf: Directories): CgroupStatistics | undefined {
  const [cpu, memory, pids] = ['cpu', 'memory', 'pids'].map(directoryOf);
  if (cpu === undefined && memory === undefined && pids === undefined) return undefined;
  const stat = keysOf(cpu, 'cpu.stat');
  const usage = numberOf(directoryOf('cpuacct'), 'cpuacct.usage');
  const isV1 = isOfV1(memory);
  return {
    cpuSeconds: usage === undefined ? (stat.get('usage_usec') ?? 0) / US_PER_S : usage / NS_PER_S,
    // Nanoseconds on v1, microseconds on v2.
    throttledSeconds:
      (stat.get('throttled_time') ?? 0) / NS_PER_S + (stat.get('throttled_usec') ?? 0) / US_PER_S,
    throttledPeriods: stat.get('nr_throttled') ?? 0,
    memoryBytes: numberOf(memory, isV1 ? 'memory.usage_in_bytes' : 'memory.current') ?? 0,
    // v1 counts in each group what happened there alone.
    oomKills: isV1
      ? sumBelow(memory, 'memory.oom_control', 'oom_kill')
      : (keysOf(memory, 'memory.events').get('oom_kill') ?? 0),
    pids: numberOf(pids, 'pids.current') ?? 0,
    pidsRefused: isOfV1(pids)
      ? sumBelow(pids, 'pids.events', 'max')
      : (keysOf(pids, 'pids.events').get('max') ?? 0),
    // Neither version counts requests; v2's io.pressure counts time.
    blockWaits: null,
  };
}

/** Every group of v2 has this file. */
function isOfV1(directory: string | undefined): boolean {
  return directory !== undefined && !hasFile(directory, 'cgroup.controllers');
}

function numberOf(directory: string | undefined, file: string): number | undefined {
  const text = directory === undefined ? undefined : textOf(directory, file);
  return text === undefined ? undefined : Number(text);
}

/** Lines of a name and a number. */
function keysOf(directory: string | undefined, file: string): ReadonlyMap<string, number> {
  const text = directory === undefined ? '' : (textOf(directory, file) ?? '');
  return new Map([...text.matchAll(/^(\S+) (\d+)$/gm)].map(([, key = '', value]) => [key, Number(value)]));
}

function sumBelow(directory: string | undefined, file: string, key: string): number {
  const groups = directory === undefined ? [] : subtreeOf(directory);
  return groups.reduce((sum, group) => sum + (keysOf(group, file).get(key) ?? 0), 0);
}
