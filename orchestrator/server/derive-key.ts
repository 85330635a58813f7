/** From the cluster's master key to the key of a generation. */
import { hkdfSync } from 'node:crypto';
import * as z from 'zod';
import { type ClusterKey, epochOf, type KeyBits, type KeyGeneration } from '../../model/keys.ts';

const MASTER_BYTES = 32;
const KEY_BYTES = 16;

/** Only the server and its machine's root ever read it. */
export const MasterKey = z.strictObject({
  /** Names the cluster for good; random, no secret. */
  cluster: z.string().regex(/^[0-9a-f]{16}$/),
  master: z.string().regex(new RegExp(`^[0-9a-f]{${2 * MASTER_BYTES}}$`)),
});
export type MasterKey = z.infer<typeof MasterKey>;

/** @param random  so many random bytes */
export function newMasterKey(random: (bytes: number) => Buffer): MasterKey {
  return { cluster: random(8).toString('hex'), master: random(MASTER_BYTES).toString('hex') };
}

/**
 * HKDF-SHA256 (RFC 5869) without salt: the master key is uniformly random. The info string names what the key is
 * for, so that no two uses, clusters or generations share one.
 */
export function deriveKey({ cluster, master }: MasterKey, generation: KeyGeneration): ClusterKey {
  const info = `sluice tag key, cluster ${cluster}, generation ${generation}`;
  const bits = hkdfSync('sha256', Buffer.from(master, 'hex'), '', info, KEY_BYTES);
  return { epoch: epochOf(generation), key: Buffer.from(bits).toString('hex') as KeyBits };
}
