/** The keys that tags are made with, by epoch (docs/keys.md). */
import * as z from 'zod';
import { KeyEpoch, NodeName } from './names.ts';

/** 128 bits as 32 lower-case hex digits. */
export const KeyBits = z
  .string()
  .regex(/^[0-9a-f]{32}$/, 'must be 32 hex digits')
  .brand<'KeyBits'>();
export type KeyBits = z.infer<typeof KeyBits>;

export const ClusterKey = z.strictObject({ epoch: KeyEpoch, key: KeyBits });
export type ClusterKey = z.infer<typeof ClusterKey>;

/** Tags are made with `current`; all keys are accepted. */
export const ClusterKeys = z.strictObject({ current: KeyEpoch, keys: z.array(ClusterKey) });
export type ClusterKeys = z.infer<typeof ClusterKeys>;

/** What a node has that was shut out: nothing is tagged, and nothing tagged is accepted. */
export const NO_KEYS: ClusterKeys = { current: 0 as KeyEpoch, keys: [] };

/** Keys are counted without end, from 1; on the wire there is room for the last eight bits. */
export const KeyGeneration = z.int().min(1).brand<'KeyGeneration'>();
export type KeyGeneration = z.infer<typeof KeyGeneration>;

const EPOCHS = 256;

export function epochOf(generation: KeyGeneration): KeyEpoch {
  return (generation % EPOCHS) as KeyEpoch;
}

/** What a node's plane really has; its answer to being told keys. */
export const HeldKeys = z.strictObject({
  accepts: z.array(KeyEpoch).max(EPOCHS),
  /** null: it tags nothing. */
  sends: KeyEpoch.nullable(),
});
export type HeldKeys = z.infer<typeof HeldKeys>;

/**
 * How far a change of keys is. `steady`: one key. `spreading`: the next one is accepted by more and more nodes.
 * `switching`: more and more of them send with it. `retiring`: all do, and what is still on its way arrives.
 */
export const KeyPhase = z.enum(['steady', 'spreading', 'switching', 'retiring']);
export type KeyPhase = z.infer<typeof KeyPhase>;

/**
 * `late`: a change of keys went on without it, and it has not caught up yet. `behind`: it is waited for.
 * `away`: it has no stream open.
 */
export const KeyStanding = z.enum(['current', 'behind', 'late', 'away', 'fenced']);
export type KeyStanding = z.infer<typeof KeyStanding>;

/** Everything about keys but the keys. */
export const KeyReport = z.strictObject({
  generation: KeyGeneration,
  epoch: KeyEpoch,
  phase: KeyPhase,
  /** Unix time in ms since when the phase lasts. */
  since: z.number(),
  /** Because a node was fenced: nothing is waited for long, and old keys end at once. */
  urgent: z.boolean(),
  /** Being spread; null when nothing is. */
  next: z.strictObject({ generation: KeyGeneration, epoch: KeyEpoch }).nullable(),
  accepted: z.array(z.strictObject({ generation: KeyGeneration, epoch: KeyEpoch, madeAt: z.number() })),
  /** Unix time in ms of the next change by the clock; null: never. */
  dueAt: z.number().nullable(),
  nodes: z.array(
    z.strictObject({
      node: NodeName,
      standing: KeyStanding,
      /** null: it has not said since the server started. */
      held: HeldKeys.nullable(),
    }),
  ),
});
export type KeyReport = z.infer<typeof KeyReport>;
