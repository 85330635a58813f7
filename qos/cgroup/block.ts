/** Bytes and requests a second of the disks that a container's mounts lie on, and its weight among others. */
import type { LimitValue } from '../../model/limits.ts';
import type { CgroupLimits } from '../contract.ts';
import type { Carrying, Driver, Notes, Place } from './driver.ts';
import type { Journal } from './journal.ts';

export const RATES = ['block.read', 'block.write', 'block.readOps', 'block.writeOps'] as const;
export type BlockRate = (typeof RATES)[number];

/** Of one disk; null: unlimited. */
export type DiskLimits = Readonly<Record<BlockRate, number | null>>;
export const UNLIMITED_DISK: DiskLimits = {
  ...{ 'block.read': null, 'block.write': null, 'block.readOps': null, 'block.writeOps': null },
};

export interface BlockFiles {
  /** The groups in which a limit has to stand so that it holds in this one and those within. */
  groups(directory: string): readonly string[];
  /** By disk, `major:minor`; one that is absent is unlimited. @returns undefined where the group has none */
  disks(directory: string): ReadonlyMap<string, DiskLimits> | undefined;
  set(journal: Journal, directory: string, disk: string, now: DiskLimits, next: DiskLimits): Promise<void>;
  /** Where a weight can be written, with the range it takes. */
  weight(directory: string): WeightFile | undefined;
  /** Whether a weight has any effect on this disk. */
  heeds(weight: WeightFile, disk: string): boolean;
}

export interface WeightFile {
  readonly file: string;
  readonly now: number;
  readonly most: number;
  /** The word before the number, where there is one. */
  readonly prefix: string;
}

const ORDINARY_WEIGHT = 100;
/** iops are 32 bits in the kernel, and all ones means unlimited (block/blk-throttle.c). */
const MOST_OPS = 2 ** 32 - 2;
const WEIGHT = 'block.weight';

export function blockDriver(files: BlockFiles): Driver {
  return {
    fields: [...RATES, WEIGHT],
    async read(place): Promise<CgroupLimits> {
      const weight = files.weight(place.directory);
      return { ...(await readRates(files, place)), ...(weight && { [WEIGHT]: weightValue(weight.now) }) };
    },
    async prepare(place, wanted, notes): Promise<Carrying> {
      const rates = await planRates(files, place, wanted, notes);
      const weight = await planWeight(files, place, wanted, notes);
      return async (journal, late) => {
        await rates(journal, late);
        await weight(journal, late);
      };
    },
  };
}

const weightValue = (weight: number): LimitValue => (weight === ORDINARY_WEIGHT ? null : weight);

/** What all disks of the container agree on, in all groups; a rate on which they differ is absent. */
async function readRates(files: BlockFiles, place: Place): Promise<CgroupLimits> {
  const held = files.groups(place.directory).map((group) => files.disks(group));
  if (held[0] === undefined) return {};
  const disks = await place.disks();
  const limits = held.flatMap((all) => disks.map((disk) => all?.get(disk) ?? UNLIMITED_DISK));
  const agreed = RATES.flatMap((rate) => {
    const values = new Set(limits.map((one) => one[rate]));
    const [value = null] = values;
    return values.size > 1 ? [] : [[rate, value] as const];
  });
  return Object.fromEntries(agreed);
}

async function planRates(
  files: BlockFiles,
  place: Place,
  wanted: CgroupLimits,
  notes: Notes,
): Promise<Carrying> {
  const named = RATES.filter((rate) => wanted[rate] !== undefined);
  if (named.length === 0) return nothing;
  const limited = named.filter((rate) => wanted[rate] !== null);
  if (files.disks(place.directory) === undefined) {
    for (const rate of limited) notes.add(rate, wanted[rate] ?? null, 'this kernel does not have it');
    return nothing;
  }
  const disks = await place.disks();
  if (disks.length === 0) {
    const why = 'no mount of the container lies on a disk that the kernel knows of';
    for (const rate of limited) notes.add(rate, wanted[rate] ?? null, why);
    return nothing;
  }
  const changes = Object.fromEntries(
    named.map((rate) => [rate, heldRate(rate, wanted[rate] ?? null, notes)]),
  );
  return async (journal) => {
    for (const group of files.groups(place.directory)) {
      const held = files.disks(group);
      for (const disk of disks) {
        const now = held?.get(disk) ?? UNLIMITED_DISK;
        await files.set(journal, group, disk, now, { ...now, ...changes });
      }
    }
  };
}

function heldRate(rate: BlockRate, wanted: LimitValue, notes: Notes): number | null {
  if (wanted === null) return null;
  const whole = Math.max(1, Math.round(Number(wanted)));
  if (!rate.endsWith('Ops') || whole <= MOST_OPS) return whole;
  notes.add(rate, wanted, `the kernel counts no further than ${MOST_OPS}`, MOST_OPS);
  return MOST_OPS;
}

async function planWeight(
  files: BlockFiles,
  place: Place,
  wanted: CgroupLimits,
  notes: Notes,
): Promise<Carrying> {
  const named = wanted[WEIGHT];
  if (named === undefined) return nothing;
  const file = files.weight(place.directory);
  if (file === undefined) {
    if (named !== null) notes.add(WEIGHT, named, 'this kernel does not have it');
    return nothing;
  }
  const { now, most } = file;
  const asked = Number(named ?? ORDINARY_WEIGHT);
  const next = Math.min(most, Math.max(1, Math.round(asked)));
  if (Math.abs(next - asked) > asked / 100)
    notes.add(WEIGHT, named, 'the nearest that the kernel holds', next);
  const deaf = named === null ? [] : (await place.disks()).filter((disk) => !files.heeds(file, disk));
  if (deaf.length > 0) {
    const why = `held, but disk ${deaf.join(', ')} does not heed weights: give it the scheduler bfq, or io.cost`;
    notes.add(WEIGHT, named, why, next);
  }
  return async (journal) => {
    if (now === next) return;
    const text = (weight: number): string => `${file.prefix}${weight}`;
    const { directory } = place;
    await journal.set({
      ...{ directory, file: file.file, text: text(next), before: text(now) },
      holds: (read) => weightIn(read) === next,
    });
  };
}

/** `100`, or `default 100` with lines of single disks behind it. */
export function weightIn(text: string): number | undefined {
  const [, weight] = /^(?:default )?(\d+)$/m.exec(text) ?? [];
  return weight === undefined ? undefined : Number(weight);
}

const nothing: Carrying = async () => undefined;
