/** How a machine becomes a node: the token an operator carries over, what is asked, and what the node then holds. */
import * as z from 'zod';
import { Ipv4 } from './addresses.ts';
import { ClusterNode, ClusterSettings } from './cluster.ts';
import { HostPort } from './config.ts';
import { SluiceError } from './errors.ts';
import { NodeName } from './names.ts';

/** 256 random bits, base64url. */
export const Secret = z
  .string()
  .regex(/^[A-Za-z0-9_-]{43}$/, 'must be 32 bytes in base64url')
  .brand<'Secret'>();
export type Secret = z.infer<typeof Secret>;

export const TokenId = z
  .string()
  .regex(/^[0-9a-f]{16}$/, 'a token id has 16 hex digits')
  .brand<'TokenId'>();
export type TokenId = z.infer<typeof TokenId>;

/** SHA-256 of the server's certificate (DER), base64url. */
export const Fingerprint = z
  .string()
  .regex(/^[A-Za-z0-9_-]{43}$/, 'must be a SHA-256 in base64url')
  .brand<'Fingerprint'>();
export type Fingerprint = z.infer<typeof Fingerprint>;

/** All that somebody far away needs besides the server's address: whom to trust, and how to be trusted. */
export interface Token {
  readonly id: TokenId;
  readonly secret: Secret;
  readonly fingerprint: Fingerprint;
}

const FORMAT = 'sluice1';

export function formatToken({ id, secret, fingerprint }: Token): string {
  return [FORMAT, id, secret, fingerprint].join('.');
}

/** @throws SluiceError `invalid_request` that does not repeat the text: it may hold a secret. */
export function parseToken(text: string): Token {
  const [format, id, secret, fingerprint, ...rest] = text.trim().split('.');
  const token = z
    .object({ id: TokenId, secret: Secret, fingerprint: Fingerprint })
    .safeParse({ id, secret, fingerprint });
  if (format === FORMAT && rest.length === 0 && token.success) return token.data;
  throw new SluiceError(
    'invalid_request',
    'this is no sluice token',
    'take the whole line that sluice token create printed',
  );
}

/** What goes behind 'Bearer' in an Authorization header. */
export function bearerOf({ id, secret }: Pick<Token, 'id' | 'secret'>): string {
  return `${id}.${secret}`;
}

/** Body of POST /v1/nodes/join. The node makes the secret and saves it first, so that a lost answer can be asked again. */
export const JoinRequest = z.strictObject({ node: NodeName, uplinkAddress: Ipv4, secret: Secret });
export type JoinRequest = z.infer<typeof JoinRequest>;

export const JoinAnswer = z.strictObject({ id: TokenId, node: ClusterNode, settings: ClusterSettings });
export type JoinAnswer = z.infer<typeof JoinAnswer>;

/** What a node keeps to speak to the server. */
export const NodeCredential = z.strictObject({
  server: HostPort,
  fingerprint: Fingerprint,
  node: NodeName,
  secret: Secret,
  /** null: the server has not answered yet. */
  id: TokenId.nullable(),
});
export type NodeCredential = z.infer<typeof NodeCredential>;
