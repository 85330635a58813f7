/** The keys that tags are made with, by epoch (docs/tag-wire-format.md). */
import * as z from 'zod';
import { KeyEpoch } from './names.ts';

/** 128 bits as 32 lower-case hex digits. */
export const KeyBits = z
  .string()
  .regex(/^[0-9a-f]{32}$/, 'must be 32 hex digits')
  .brand<'KeyBits'>();
export type KeyBits = z.infer<typeof KeyBits>;

export const ClusterKey = z.strictObject({ epoch: KeyEpoch, key: KeyBits });
export type ClusterKey = z.infer<typeof ClusterKey>;

/** Tags are made with `current`; all keys are accepted. */
export const ClusterKeys = z.strictObject({ current: KeyEpoch, keys: z.array(ClusterKey).min(1) });
export type ClusterKeys = z.infer<typeof ClusterKeys>;
