/** Where volumes are kept, and what a volume was before it was grown. */
import * as z from 'zod';
import { SluiceError } from '../../model/errors.ts';
import { Volume, VolumeId } from '../../model/volume.ts';
import type { Store } from '../../store/contract.ts';
import { PATHS, read, records } from './layout.ts';

import type { Random } from './secrets.ts';

export interface KeptVolume {
  readonly one: Volume;
  /** Of the store, when it was written last: a node that has answered up to here knows of it. */
  readonly revision: number;
}

/** A volume that is being grown, until all its bricks have done so; nodes do not see it. */
export const Growth = z.strictObject({
  /** Of the record that asks for it. */
  generation: z.int(),
  /** What to go back to when a brick cannot. */
  before: z.strictObject({
    sizeBytes: z.int(),
    inodes: z.int().nullable(),
    /** By number. */
    bricks: z.array(z.int()),
  }),
});
export type Growth = z.infer<typeof Growth>;

/** By id. */
export async function allVolumes(store: Store): Promise<KeptVolume[]> {
  const { entries } = await store.list(PATHS.volumes);
  return entries.flatMap((entry) =>
    records({ entries: [entry] }, PATHS.volumes, Volume).map((one) => ({ one, revision: entry.revision })),
  );
}

export async function findVolume(store: Store, id: VolumeId): Promise<KeptVolume | undefined> {
  const entry = await store.get(PATHS.volumes + id);
  if (entry === undefined) return undefined;
  const [one] = records({ entries: [entry] }, PATHS.volumes, Volume);
  return one && { one, revision: entry.revision };
}

/** @throws SluiceError `not_found` */
export async function mustFindVolume(store: Store, id: VolumeId): Promise<KeptVolume> {
  const found = await findVolume(store, id);
  if (found === undefined) throw noVolume(id);
  return found;
}

export function growthOf(store: Store, id: VolumeId): Promise<Growth | undefined> {
  return read(store, PATHS.growths + id, Growth);
}

export async function allGrowths(store: Store): Promise<Map<VolumeId, Growth>> {
  const page = await store.list(PATHS.growths);
  const growths = records(page, PATHS.growths, Growth);
  return new Map(
    page.entries.map(({ key }, i) => [key.slice(PATHS.growths.length) as VolumeId, growths[i] as Growth]),
  );
}

/** Never the tenant's words. */
export function newVolumeId(random: Random): VolumeId {
  return VolumeId.parse(`v${random(6).toString('hex')}`);
}

export function noVolume(word: string): SluiceError {
  return new SluiceError(
    'not_found',
    `there is no volume ${word}`,
    'sluice volume list --all shows what there is',
  );
}
