import type { Limits } from '../../model/limits.ts';
import type { SharedBuckets } from '../contract.ts';
export async function openSharedBuckets(_: string): Promise<SharedBuckets & { filesOf: undefined }> {
  const held = new Map<string, Limits>();
  return { filesOf: undefined, set: async (owner, limits) => void held.set(JSON.stringify(owner), limits), held: (owner) => held.get(JSON.stringify(owner)) ?? {} };
}
