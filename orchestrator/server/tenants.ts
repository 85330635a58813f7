/** Tenants: a name for people, a tag for packets. */
import * as z from 'zod';
import { NamespaceMapping, Tenant } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import { TenantName } from '../../model/names.ts';
import { Volume } from '../../model/volume.ts';
import { nextTag } from './allot-tag.ts';
import { Counter, mustRead, PATHS, read, readAll, StoredToken } from './layout.ts';
import { type Operation, operation } from './operation.ts';
import { listPage, PageQuery, pageOf } from './paging.ts';

const Named = z.strictObject({ tenant: TenantName });

const create = operation({
  id: 'tenant.create',
  method: 'POST',
  path: '/v1/tenants',
  summary: 'Makes a tenant and gives it the next tag.',
  body: Named,
  answer: Tenant,
  status: 201,
  handle: async ({ store, mutate, now }, { who, body: { tenant } }) => {
    const made = await mutate({ who, operation: 'tenant.create', subject: `tenant ${tenant}` }, async () => {
      if ((await store.get(PATHS.tenants + tenant)) !== undefined) throw alreadyThere(tenant);
      const tag = nextTag((await read(store, PATHS.lastTag, Counter))?.last ?? 0);
      const result: Tenant = { tenant, tag, createdAt: now() };
      const put = [
        { key: PATHS.tenants + tenant, value: result },
        { key: PATHS.lastTag, value: { last: tag } },
      ];
      return { put, result };
    });
    return { json: made };
  },
});

const list = operation({
  id: 'tenant.list',
  method: 'GET',
  path: '/v1/tenants',
  summary: 'Lists tenants by name.',
  query: PageQuery,
  answer: pageOf(Tenant),
  handle: ({ store }, { query }) => listPage(store, PATHS.tenants, query, Tenant),
});

const show = operation({
  id: 'tenant.show',
  method: 'GET',
  path: '/v1/tenants/:tenant',
  summary: 'Shows one tenant.',
  params: Named,
  answer: Tenant,
  handle: async ({ store }, { who, params: { tenant } }) => {
    // Before it is looked for: whether another tenant exists is none of a tenant's business.
    if (who.role === 'tenant' && who.tenant !== tenant) throw notYours(tenant);
    return { json: await mustRead(store, PATHS.tenants + tenant, Tenant, `tenant ${tenant}`) };
  },
});

const remove = operation({
  id: 'tenant.delete',
  method: 'DELETE',
  path: '/v1/tenants/:tenant',
  summary:
    'Forgets a tenant and ends its tokens. Its tag is never given again; its namespaces must be unmapped before, and its volumes gone.',
  params: Named,
  answer: z.undefined(),
  status: 204,
  handle: async ({ store, mutate }, { who, params: { tenant } }) => {
    await mutate({ who, operation: 'tenant.delete', subject: `tenant ${tenant}` }, async () => {
      await mustRead(store, PATHS.tenants + tenant, Tenant, `tenant ${tenant}`);
      const mapped = await readAll(store, PATHS.namespaces, NamespaceMapping);
      const own = mapped.filter((mapping) => mapping.tenant === tenant).map(({ namespace }) => namespace);
      if (own.length > 0) throw stillMapped(tenant, own);
      const volumes = (await readAll(store, PATHS.volumes, Volume)).filter((one) => one.tenant === tenant);
      if (volumes.length > 0) throw hasVolumes(tenant, volumes);
      // Else they would open the next tenant of this name, or bind it.
      const tokens = (await readAll(store, PATHS.tokens, StoredToken)).filter((one) => one.tenant === tenant);
      const gone = tokens.map(({ id }) => PATHS.tokens + id);
      const kept = [PATHS.tenants, PATHS.guards, PATHS.plans].map((prefix) => prefix + tenant);
      return { delete: [...kept, ...gone], result: undefined };
    });
    return { json: undefined };
  },
});

export const tenantOperations: readonly Operation[] = [create, list, show, remove];

function alreadyThere(tenant: TenantName): SluiceError {
  return new SluiceError('already_exists', `tenant ${tenant} exists`, 'use it, or choose another name');
}

function stillMapped(tenant: TenantName, namespaces: readonly string[]): SluiceError {
  const what = `namespaces are mapped to tenant ${tenant}: ${namespaces.slice(0, 10).join(', ')}`;
  return new SluiceError('conflict', what, 'delete these mappings first');
}

function hasVolumes(tenant: TenantName, volumes: readonly Volume[]): SluiceError {
  const named = volumes
    .slice(0, 10)
    .map(({ name, phase }) => (phase === 'ready' ? name : `${name} (${phase})`));
  return new SluiceError(
    'conflict',
    `tenant ${tenant} has volumes: ${named.join(', ')}`,
    `delete them for good first: sluice volume delete NAME --tenant ${tenant} --now`,
  );
}

export function notYours(tenant: TenantName): SluiceError {
  return new SluiceError(
    'refused',
    `this token does not speak for tenant ${tenant}`,
    'take one of that tenant: sluice token create --role tenant',
  );
}
