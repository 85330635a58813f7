/** The files of cgroup v2 (kernel documentation: admin-guide/cgroup-v2). */
import { textOf } from '../../linux/cgroup-files.ts';
import { heedsBfq, heedsCost } from '../../linux/disks.ts';
import { type Bandwidth, WEIGHTS } from './bandwidth.ts';
import {
  type BlockFiles,
  type BlockRate,
  type DiskLimits,
  RATES,
  type WeightFile,
  weightIn,
} from './block.ts';
import type { CpuFiles, QuotaAndPeriod } from './cpu.ts';

const MAX = 'max';
const QUOTA = 'cpu.max';
const BURST = 'cpu.max.burst';
const WEIGHT = 'cpu.weight';

/** `50000 100000`, or `max 100000`. */
export function quotaIn(text: string): QuotaAndPeriod {
  const [quota = MAX, period] = text.trim().split(' ');
  return { quota: quota === MAX ? null : Number(quota), period: Number(period) };
}

function quotaText({ quota, period }: QuotaAndPeriod): string {
  return `${quota ?? MAX} ${period}`;
}

function numberIn(directory: string, file: string): number | undefined {
  const text = textOf(directory, file);
  return text === undefined ? undefined : Number(text);
}

export const cpuFilesV2: CpuFiles = {
  nested: false,
  bandwidth(directory): Bandwidth | undefined {
    const text = textOf(directory, QUOTA);
    return text === undefined ? undefined : { ...quotaIn(text), burst: numberIn(directory, BURST) };
  },
  async setQuota(journal, directory, now, next): Promise<void> {
    const [text, before] = [quotaText(next), quotaText(now)];
    if (text === before) return;
    await journal.set({ directory, file: QUOTA, text, before, holds: (read) => read.trim() === text });
  },
  async setBurst(journal, directory, now, next): Promise<void> {
    const [text, before] = [String(next), String(now)];
    await journal.set({ directory, file: BURST, text, before, holds: (read) => Number(read) === next });
  },
  weight: (directory) => numberIn(directory, WEIGHT),
  nearestWeight: (weight) => Math.min(WEIGHTS.most, Math.max(WEIGHTS.least, Math.round(weight))),
  async setWeight(journal, directory, now, next): Promise<void> {
    if (now === next) return;
    const [text, before] = [String(next), String(now)];
    await journal.set({ directory, file: WEIGHT, text, before, holds: (read) => Number(read) === next });
  },
};

const RATES_FILE = 'io.max';
const KEYS: Readonly<Record<BlockRate, string>> = {
  ...{ 'block.read': 'rbps', 'block.write': 'wbps', 'block.readOps': 'riops', 'block.writeOps': 'wiops' },
};
/** By io.cost and by bfq; the kernel has either, both or none. */
const WEIGHT_FILES = [
  { file: 'io.weight', most: 10_000 },
  { file: 'io.bfq.weight', most: 1_000 },
] as const;

export const blockFilesV2: BlockFiles = {
  groups: (directory) => [directory],
  disks(directory): ReadonlyMap<string, DiskLimits> | undefined {
    const text = textOf(directory, RATES_FILE);
    return text === undefined ? undefined : diskLimitsIn(text);
  },
  async set(journal, directory, disk, now, next): Promise<void> {
    const [text, before] = [diskLine(disk, next), diskLine(disk, now)];
    if (text === before) return;
    await journal.set({
      ...{ directory, file: RATES_FILE, text, before },
      holds: (read) => diskLine(disk, diskLimitsIn(read).get(disk)) === text,
    });
  },
  weight(directory): WeightFile | undefined {
    for (const { file, most } of WEIGHT_FILES) {
      const now = weightIn(textOf(directory, file) ?? '');
      if (now !== undefined) return { file, now, most, prefix: 'default ' };
    }
    return undefined;
  },
  heeds: ({ file }, disk) => (file === 'io.weight' ? heedsCost(disk) : heedsBfq(disk)),
};

/** Lines such as `8:16 rbps=2097152 wbps=max riops=max wiops=120`. */
export function diskLimitsIn(text: string): ReadonlyMap<string, DiskLimits> {
  const lines = [...text.matchAll(/^(\d+:\d+) (.*)$/gm)];
  return new Map(lines.map(([, disk = '', rest = '']) => [disk, limitsIn(rest)]));
}

function limitsIn(words: string): DiskLimits {
  const found = new Map(words.split(' ').map((word) => word.split('=') as [string, string]));
  const values = RATES.map((rate) => {
    const value = found.get(KEYS[rate]) ?? MAX;
    return [rate, value === MAX ? null : Number(value)] as const;
  });
  return Object.fromEntries(values) as DiskLimits;
}

function diskLine(disk: string, limits: DiskLimits | undefined): string {
  return [disk, ...RATES.map((rate) => `${KEYS[rate]}=${limits?.[rate] ?? MAX}`)].join(' ');
}
