/**
 * Where the server keeps what, in its store:
 *
 *     view/settings                 what the nodes follow: one list and one watch give
 *     view/tenants/TENANT           a node everything it needs and nothing else
 *     view/nodes/NODE
 *     view/namespaces/NAMESPACE
 *     view/guards/TENANT            rules for the internet side
 *     view/plans/TENANT             what each tenant has bought
 *     view/limits                   what holds where no plan says anything
 *     view/switches/ID              switches that are open, or will be
 *     view/volumes/ID               what is wanted of each volume, until its last brick is gone
 *     view/probes/NODE/PROBE        under a lease: the server forgets them in time
 *     pending/switches/ID           those that wait for a second person; nodes do not hear of them
 *     history/switches/NUMBER       those that are over, in the order of their ends; the last SWITCHES_KEPT of them
 *     history/ids/ID                the number of each
 *     growths/ID                    what a volume was before it was grown, until all its bricks have
 *     keys/master                   what keys are derived from; never leaves the server
 *     keys/rotation                 which generations of keys are in use, and how far a change of them is
 *     keys/cluster                  random keys of before there was a master key, until they are withdrawn
 *     tokens/ID                     hashes of secrets, never secrets; under a lease when they expire
 *     owners/NODE                   the token that a node proves itself with
 *     counters/tag                  the highest tag ever given
 *     counters/history              the number of the last switch that is over
 *     counters/audit                the number of the last change; every change compares it (mutate.ts)
 *     audit/NUMBER                  who did what, when; the last AUDIT_KEPT of them
 *     details/NUMBER                what it was before and after, where that is told; the last DETAILS_KEPT of them
 */
import * as z from 'zod';
import { SluiceError } from '../../model/errors.ts';
import { TokenId } from '../../model/join.ts';
import { NodeName, TenantName } from '../../model/names.ts';
import type { Page, Store } from '../../store/contract.ts';

export const PATHS = {
  view: 'view/',
  settings: 'view/settings',
  tenants: 'view/tenants/',
  nodes: 'view/nodes/',
  namespaces: 'view/namespaces/',
  guards: 'view/guards/',
  plans: 'view/plans/',
  limits: 'view/limits',
  switches: 'view/switches/',
  pending: 'pending/switches/',
  history: 'history/switches/',
  historyIds: 'history/ids/',
  volumes: 'view/volumes/',
  growths: 'growths/',
  probes: 'view/probes/',
  keys: 'keys/',
  masterKey: 'keys/master',
  rotation: 'keys/rotation',
  formerKeys: 'keys/cluster',
  tokens: 'tokens/',
  owners: 'owners/',
  lastTag: 'counters/tag',
  lastEnded: 'counters/history',
  lastAudit: 'counters/audit',
  audit: 'audit/',
  details: 'details/',
} as const;

/** About 20 MB of history at most. */
export const AUDIT_KEPT = 100_000;
/** About 100 MB at most: a detail names at most 100 containers (switch-audit.ts). */
export const DETAILS_KEPT = 5_000;
export const SWITCHES_KEPT = 10_000;

export const TokenRole = z.enum(['join', 'node', 'operator', 'admin', 'tenant']);
export type TokenRole = z.infer<typeof TokenRole>;

export const StoredToken = z.strictObject({
  id: TokenId,
  role: TokenRole,
  /** The node that this token proves; null for every other role. */
  node: NodeName.nullable(),
  /** The tenant that this token speaks for; null for every other role, and absent in older records. */
  tenant: TenantName.nullable().default(null),
  /** SHA-256 of the secret, hex. The secret has 256 random bits, so no slow hash is needed. */
  hash: z.string(),
  createdAt: z.number(),
  createdBy: z.string(),
  /** Unix time in ms; null: until revoked. */
  expiresAt: z.number().nullable(),
});
export type StoredToken = z.infer<typeof StoredToken>;

/** `token` is null for a node of the server's own machine, which speaks through the private socket. */
export const Owner = z.strictObject({ token: TokenId.nullable() });
export type Owner = z.infer<typeof Owner>;

export const Counter = z.strictObject({ last: z.int().min(0) });

export const AuditEntry = z.strictObject({
  number: z.int(),
  /** Unix time in ms. */
  at: z.number(),
  who: z.string(),
  operation: z.string(),
  subject: z.string(),
  /** Why, where whoever did it had to say so. */
  reason: z.string().optional(),
});
export type AuditEntry = z.infer<typeof AuditEntry>;

/** What a change found, and what it left. */
export const AuditDetail = z.strictObject({ before: z.unknown(), after: z.unknown() });
export type AuditDetail = z.infer<typeof AuditDetail>;

/** Fixed width, so that byte order is the order of numbers. */
export function numberKey(prefix: string, number: number): string {
  return prefix + String(number).padStart(12, '0');
}

/** @throws SluiceError `store_failed` when the record is not what this program writes. */
export async function read<T>(store: Store, key: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const entry = await store.get(key);
  return entry === undefined ? undefined : parse(key, entry.value, schema);
}

/** @throws SluiceError `not_found` */
export async function mustRead<T>(store: Store, key: string, schema: z.ZodType<T>, what: string): Promise<T> {
  const found = await read(store, key, schema);
  if (found !== undefined) return found;
  throw new SluiceError('not_found', `there is no ${what}`, 'the list shows what there is');
}

/** @throws SluiceError `store_failed` */
export function records<T>(page: Pick<Page, 'entries'>, prefix: string, schema: z.ZodType<T>): T[] {
  return page.entries
    .filter((entry) => entry.key.startsWith(prefix))
    .map((entry) => parse(entry.key, entry.value, schema));
}

/** @throws SluiceError `store_failed` */
export async function readAll<T>(store: Store, prefix: string, schema: z.ZodType<T>): Promise<T[]> {
  return records(await store.list(prefix), prefix, schema);
}

function parse<T>(key: string, value: unknown, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new SluiceError(
    'store_failed',
    `the record ${key} cannot be understood: ${z.prettifyError(parsed.error)}`,
    'was the store written by another version? Run that one, or restore a backup',
  );
}
