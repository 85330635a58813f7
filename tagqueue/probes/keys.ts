/** Which keys probes are made with: the cluster's own, and one that was withdrawn a while ago and must not work any more. */
import type { ClusterKeys } from '../../model/keys.ts';
import type { KeyEpoch } from '../../model/names.ts';
import type { TagKey } from '../token.ts';
import type { ProbeKeys } from './craft.ts';

/** By then every node that is in touch with the server has heard that the key is withdrawn. */
export const CERTAINLY_HEARD_MS = 60_000;

export interface KeyMemory {
  /** @param nowMs  on a clock that only goes forward */
  learn(keys: ClusterKeys, nowMs: number): void;
  /** @returns undefined before the first key is known */
  at(nowMs: number): ProbeKeys | undefined;
}

/** Remembers the last withdrawn key in this process alone. */
export function createKeyMemory(): KeyMemory {
  let present: ClusterKeys | undefined;
  let withdrawn: { readonly key: TagKey; readonly atMs: number } | undefined;
  return {
    learn(keys, nowMs): void {
      const gone = present?.keys.find(({ key }) => !keys.keys.some((one) => one.key === key));
      if (gone !== undefined) withdrawn = { key: tagKey(gone), atMs: nowMs };
      present = keys;
    },
    at(nowMs): ProbeKeys | undefined {
      const current = present?.keys.find(({ epoch }) => epoch === present?.current);
      if (present === undefined || current === undefined) return undefined;
      const expired = withdrawn !== undefined && nowMs - withdrawn.atMs >= CERTAINLY_HEARD_MS;
      const epochs = present.keys.map(({ epoch }) => epoch);
      return {
        current: tagKey(current),
        expired: expired ? withdrawn?.key : undefined,
        known: new Set([...epochs, ...(withdrawn === undefined ? [] : [withdrawn.key.epoch])]),
      };
    },
  };
}

function tagKey({ epoch, key }: { readonly epoch: KeyEpoch; readonly key: string }): TagKey {
  return { epoch, secret: Buffer.from(key, 'hex') };
}
