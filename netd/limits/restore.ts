/** Gives containers back what their runtime had given them, where nobody keeps their limits any more. */

import type { Endpoint } from '../../model/endpoint.ts';
import { asSluiceError } from '../../model/errors.ts';
import type { CgroupKeeper, CgroupLimits, ContainerCgroup } from '../../qos/contract.ts';
import { differences } from '../../qos/plan.ts';
import type { Store } from '../../store/contract.ts';
import { hintsOf } from './container.ts';
import { openLimitRecords } from './records.ts';

/**
 * A group that is gone has nothing to get back.
 * @returns the fields that were put back
 * @throws SluiceError `kernel_refused`
 */
export async function restoreCgroup(
  cgroups: CgroupKeeper,
  group: ContainerCgroup,
  captured: CgroupLimits | undefined,
): Promise<readonly string[]> {
  if (captured === undefined) return [];
  try {
    const fields = differences(captured, await cgroups.read(group));
    if (fields.length === 0) return [];
    const set = Object.fromEntries(fields.map((field) => [field, captured[field]]));
    await cgroups.apply(group, set, { mayKill: false });
    return fields;
  } catch (error) {
    if (asSluiceError(error).code === 'not_found') return [];
    throw error;
  }
}

/**
 * Of all containers on record, with netd stopped; and forgets them.
 * @returns what was put back, in words
 */
export async function restoreAll(
  store: Store,
  endpoints: readonly Endpoint[],
  cgroups: CgroupKeeper,
): Promise<string[]> {
  const records = await openLimitRecords(store);
  const restored: string[] = [];
  for (const endpoint of endpoints) {
    const captured = records.captured(endpoint.containerId);
    const group = captured && (await cgroups.find(hintsOf(endpoint)));
    const fields = group === undefined ? [] : await restoreCgroup(cgroups, group, captured);
    if (fields.length > 0) restored.push(`${fields.join(', ')} of container ${endpoint.containerId}`);
  }
  await records.keepOnly(new Map());
  return restored;
}
