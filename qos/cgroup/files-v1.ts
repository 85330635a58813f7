/** The files of cgroup v1 (kernel documentation: scheduler/sched-bwc, cgroup-v1/blkio-controller). */
import { hasFile, subtreeOf, textOf } from '../../linux/cgroup-files.ts';
import { heedsBfq } from '../../linux/disks.ts';
import { type Bandwidth, SHARES, sharesOf, weightOf } from './bandwidth.ts';
import {
  type BlockFiles,
  type BlockRate,
  type DiskLimits,
  RATES,
  UNLIMITED_DISK,
  type WeightFile,
  weightIn,
} from './block.ts';
import type { CpuFiles } from './cpu.ts';
import type { Journal } from './journal.ts';

const QUOTA = 'cpu.cfs_quota_us';
const PERIOD = 'cpu.cfs_period_us';
const BURST = 'cpu.cfs_burst_us';
const SHARES_FILE = 'cpu.shares';
const NO_QUOTA = -1;

function numberIn(directory: string, file: string): number | undefined {
  const text = textOf(directory, file);
  return text === undefined ? undefined : Number(text);
}

function setNumber(
  journal: Journal,
  directory: string,
  file: string,
  [now, next]: readonly [now: number, next: number],
): Promise<void> | undefined {
  if (now === next) return undefined;
  return journal.set({
    ...{ directory, file, text: String(next), before: String(now) },
    holds: (read) => Number(read) === next,
  });
}

export const cpuFilesV1: CpuFiles = {
  nested: true,
  bandwidth(directory): Bandwidth | undefined {
    const [quota, period] = [numberIn(directory, QUOTA), numberIn(directory, PERIOD)];
    if (quota === undefined || period === undefined) return undefined;
    return { quota: quota < 0 ? null : quota, period, burst: numberIn(directory, BURST) };
  },
  async setQuota(journal, directory, now, next): Promise<void> {
    const before = now.quota ?? NO_QUOTA;
    const after = next.quota ?? NO_QUOTA;
    if (now.period === next.period) return setNumber(journal, directory, QUOTA, [before, after]);
    // Either alone, quota or period, would mean another share on the way, which groups around or within may not allow.
    await setNumber(journal, directory, QUOTA, [before, NO_QUOTA]);
    await setNumber(journal, directory, PERIOD, [now.period, next.period]);
    await setNumber(journal, directory, QUOTA, [NO_QUOTA, after]);
  },
  async setBurst(journal, directory, now, next): Promise<void> {
    await setNumber(journal, directory, BURST, [now, next]);
  },
  weight(directory): number | undefined {
    const shares = numberIn(directory, SHARES_FILE);
    return shares === undefined ? undefined : weightOf(shares);
  },
  nearestWeight: (weight) => weightOf(heldShares(weight)),
  async setWeight(journal, directory, now, next): Promise<void> {
    await setNumber(journal, directory, SHARES_FILE, [heldShares(now), heldShares(next)]);
  },
};

function heldShares(weight: number): number {
  return Math.min(SHARES.most, Math.max(SHARES.least, sharesOf(weight)));
}

const THROTTLES: Readonly<Record<BlockRate, string>> = {
  'block.read': 'blkio.throttle.read_bps_device',
  'block.write': 'blkio.throttle.write_bps_device',
  'block.readOps': 'blkio.throttle.read_iops_device',
  'block.writeOps': 'blkio.throttle.write_iops_device',
};
const BFQ_WEIGHT = 'blkio.bfq.weight';
const BFQ_MOST = 1_000;

export const blockFilesV1: BlockFiles = {
  // On v1 the kernel throttles each group by itself (throtl_pd_init, block/blk-throttle.c).
  groups: subtreeOf,
  disks(directory): ReadonlyMap<string, DiskLimits> | undefined {
    if (!hasFile(directory, THROTTLES['block.read'])) return undefined;
    const found = new Map<string, DiskLimits>();
    for (const rate of RATES) {
      for (const [disk, value] of throttlesIn(textOf(directory, THROTTLES[rate]) ?? '')) {
        found.set(disk, { ...(found.get(disk) ?? UNLIMITED_DISK), [rate]: value });
      }
    }
    return found;
  },
  async set(journal, directory, disk, now, next): Promise<void> {
    for (const rate of RATES) {
      if (now[rate] === next[rate]) continue;
      // 0 takes the limit away.
      await journal.set({
        ...{ directory, file: THROTTLES[rate] },
        text: `${disk} ${next[rate] ?? 0}`,
        before: `${disk} ${now[rate] ?? 0}`,
        holds: (read) => (throttlesIn(read).get(disk) ?? null) === next[rate],
      });
    }
  },
  weight(directory): WeightFile | undefined {
    const now = weightIn(textOf(directory, BFQ_WEIGHT) ?? '');
    return now === undefined ? undefined : { file: BFQ_WEIGHT, now, most: BFQ_MOST, prefix: '' };
  },
  heeds: (_weight, disk) => heedsBfq(disk),
};

/** Lines such as `254:0 1000000`. */
export function throttlesIn(text: string): ReadonlyMap<string, number> {
  const lines = [...text.matchAll(/^(\d+:\d+) (\d+)$/gm)];
  return new Map(
    lines.map(([, disk = '', value]) => [disk, Number(value)] as const).filter(([, value]) => value > 0),
  );
}
