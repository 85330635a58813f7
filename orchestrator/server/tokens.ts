/** Tokens: shown once, kept as a hash, gone when they expire or are revoked. */
import * as z from 'zod';
import { Tenant } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import { formatToken, TokenId } from '../../model/join.ts';
import { TenantName } from '../../model/names.ts';
import { mustRead, PATHS, StoredToken } from './layout.ts';
import { type Operation, operation } from './operation.ts';
import { listPage, PageQuery, pageOf } from './paging.ts';
import { nameOf } from './principal.ts';
import { hashOf, newSecret, newTokenId } from './secrets.ts';

const DAY_SECONDS = 86_400;

/** A join token lets machines in, so it lives only as long as the work of setting them up. */
const LIFETIME_SECONDS = {
  node: DAY_SECONDS,
  operator: 90 * DAY_SECONDS,
  admin: 90 * DAY_SECONDS,
  tenant: 90 * DAY_SECONDS,
} as const;

const TokenInfo = StoredToken.omit({ hash: true });

const create = operation({
  id: 'token.create',
  method: 'POST',
  path: '/v1/tokens',
  summary: 'Makes a token. The answer is the only place where its secret ever appears.',
  body: z.strictObject({
    /** `node` makes a join token, which serves any number of machines until it expires. */
    role: z.enum(['node', 'operator', 'admin', 'tenant']),
    /** Whom a token of role `tenant` speaks for. */
    tenant: TenantName.optional(),
    ttlSeconds: z
      .int()
      .min(60)
      .max(365 * DAY_SECONDS)
      .optional(),
  }),
  answer: TokenInfo.extend({ token: z.string() }),
  status: 201,
  handle: async ({ store, mutate, now, random, fingerprint }, { who, body }) => {
    if ((body.role === 'tenant') !== (body.tenant !== undefined)) throw tenantMismatch();
    const ttlMs = (body.ttlSeconds ?? LIFETIME_SECONDS[body.role]) * 1_000;
    const id = newTokenId(random);
    const secret = newSecret(random);
    const stored: StoredToken = {
      id,
      role: body.role === 'node' ? 'join' : body.role,
      node: null,
      tenant: body.tenant ?? null,
      hash: hashOf(secret),
      createdAt: now(),
      createdBy: nameOf(who),
      expiresAt: now() + ttlMs,
    };
    const lease = await store.grantLease(ttlMs);
    await mutate({ who, operation: 'token.create', subject: `${stored.role} token ${id}` }, async () => {
      if (body.tenant !== undefined)
        await mustRead(store, PATHS.tenants + body.tenant, Tenant, `tenant ${body.tenant}`);
      return { put: [{ key: PATHS.tokens + id, value: stored, lease }], result: undefined };
    });
    return { json: { ...TokenInfo.strip().parse(stored), token: formatToken({ id, secret, fingerprint }) } };
  },
});

const list = operation({
  id: 'token.list',
  method: 'GET',
  path: '/v1/tokens',
  summary: 'Lists tokens without their secrets, which nobody has.',
  query: PageQuery,
  answer: pageOf(TokenInfo),
  handle: async ({ store }, { query }) => {
    const { json } = await listPage(store, PATHS.tokens, query, StoredToken);
    return { json: { ...json, items: json.items.map((token) => TokenInfo.strip().parse(token)) } };
  },
});

const revoke = operation({
  id: 'token.revoke',
  method: 'DELETE',
  path: '/v1/tokens/:id',
  summary: 'Ends a token at once, streams opened with it included.',
  params: z.strictObject({ id: TokenId }),
  answer: z.undefined(),
  status: 204,
  handle: async ({ store, mutate }, { who, params: { id } }) => {
    await mutate({ who, operation: 'token.revoke', subject: `token ${id}` }, async () => {
      await mustRead(store, PATHS.tokens + id, StoredToken, `token ${id}`);
      return { delete: [PATHS.tokens + id], result: undefined };
    });
    return { json: undefined };
  },
});

export const tokenOperations: readonly Operation[] = [create, list, revoke];

function tenantMismatch(): SluiceError {
  return new SluiceError(
    'invalid_request',
    'a token of role tenant speaks for one tenant, and no other token for any',
    'name the tenant with the role tenant: sluice token create --role tenant --tenant NAME',
  );
}
