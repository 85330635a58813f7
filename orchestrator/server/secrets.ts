/** Secrets: made of random bits, kept as hashes, compared in constant time. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Secret, TokenId } from '../../model/join.ts';

/** @returns so many random bytes; node:crypto's randomBytes, or a test's own. */
export type Random = (bytes: number) => Buffer;

export function newTokenId(random: Random): TokenId {
  return random(8).toString('hex') as TokenId;
}

export function newSecret(random: Random): Secret {
  return random(32).toString('base64url') as Secret;
}

export function hashOf(secret: Secret): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** Takes the same time wherever the two differ. */
export function matches(secret: Secret, hash: string): boolean {
  return timingSafeEqual(Buffer.from(hashOf(secret), 'hex'), Buffer.from(hash, 'hex'));
}
