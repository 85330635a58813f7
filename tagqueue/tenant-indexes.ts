/** Which index of the packet mark means which tenant on this node. The kernel's maps are the only record of it. */
import { type BpfMap, deleteFromMap, lookupMap, mapEntries, updateMap } from '../linux/bpf.ts';
import { SluiceError } from '../model/errors.ts';
import { indexOfMark, largestIndex, type Mark, type MarkMask, markOf } from '../model/mark.ts';
import { PROBE_TAG, type TenantTag } from '../model/names.ts';
import { indexKey, indexOfKey } from './maps.ts';

export interface TenantIndexes {
  /**
   * The tenant's mark on this node; a new tenant is given an index.
   * @throws SluiceError `limited` when all are taken
   */
  markFor(tag: TenantTag): Mark;
  /** Takes the indexes of all other tenants back. */
  keepOnly(tags: Iterable<TenantTag>): void;
}

/** The only writer of both maps, but for the entry of the fence's probes. */
export function createTenantIndexes(tenants: BpfMap, marks: BpfMap, mask: MarkMask): TenantIndexes {
  // A packet of a tenant that has just left may still be under way: his index is given again as late as possible.
  let last = 0;

  return {
    markFor(tag): Mark {
      const known = lookupMap(marks, indexKey(tag));
      const mark = known?.readUInt32LE(0) ?? 0;
      const index = indexOfMark(mark, mask);
      if (markOf(index, mask) === mark && index > 0 && tagAt(tenants, index) === tag)
        return markOf(index, mask);
      last = freeIndex(tenants, mask, last);
      const given = markOf(last, mask);
      updateMap(tenants, indexKey(last), indexKey(tag));
      updateMap(marks, indexKey(tag), indexKey(given));
      return given;
    },
    keepOnly(tags): void {
      // The probes' mark is tagqueue's (tagqueue/probes/).
      const kept = new Set([...tags, PROBE_TAG]);
      for (const [key, value] of mapEntries(marks)) {
        const tag = indexOfKey(key) as TenantTag;
        if (kept.has(tag)) continue;
        deleteFromMap(marks, key);
        const index = indexOfMark(value.readUInt32LE(0), mask);
        if (tagAt(tenants, index) === tag) updateMap(tenants, indexKey(index), indexKey(0));
      }
    },
  };
}

function tagAt(tenants: BpfMap, index: number): number {
  return lookupMap(tenants, indexKey(index))?.readUInt32LE(0) ?? 0;
}

function freeIndex(tenants: BpfMap, mask: MarkMask, last: number): number {
  const most = largestIndex(mask);
  for (let step = 1; step <= most; step++) {
    const index = ((last + step - 1) % most) + 1;
    if (tagAt(tenants, index) === 0) return index;
  }
  throw new SluiceError(
    'limited',
    `this node has containers of ${most} tenants, and its packet mark can tell no more apart`,
    'give network.markMask more bits, or place the container on another node',
  );
}
