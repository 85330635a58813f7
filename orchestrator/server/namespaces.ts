/** The namespace map: which tenant the pods of a Kubernetes namespace belong to. */
import * as z from 'zod';
import { NamespaceMapping, Tenant } from '../../model/cluster.ts';
import { NamespaceName, TenantName } from '../../model/names.ts';
import { mustRead, PATHS } from './layout.ts';
import { type Operation, operation } from './operation.ts';
import { listPage, PageQuery, pageOf } from './paging.ts';

const Named = z.strictObject({ namespace: NamespaceName });

const set = operation({
  id: 'namespace.set',
  method: 'PUT',
  path: '/v1/namespaces/:namespace',
  summary: 'Maps a namespace to a tenant; pods that run already keep theirs.',
  params: Named,
  body: z.strictObject({ tenant: TenantName }),
  answer: NamespaceMapping,
  handle: async ({ store, mutate }, { who, params: { namespace }, body: { tenant } }) => {
    const subject = `namespace ${namespace} to tenant ${tenant}`;
    const mapping = await mutate({ who, operation: 'namespace.set', subject }, async () => {
      await mustRead(store, PATHS.tenants + tenant, Tenant, `tenant ${tenant}`);
      const result: NamespaceMapping = { namespace, tenant };
      return { put: [{ key: PATHS.namespaces + namespace, value: result }], result };
    });
    return { json: mapping };
  },
});

const list = operation({
  id: 'namespace.list',
  method: 'GET',
  path: '/v1/namespaces',
  summary: 'Lists the namespace map.',
  query: PageQuery,
  answer: pageOf(NamespaceMapping),
  handle: ({ store }, { query }) => listPage(store, PATHS.namespaces, query, NamespaceMapping),
});

const remove = operation({
  id: 'namespace.delete',
  method: 'DELETE',
  path: '/v1/namespaces/:namespace',
  summary: 'Takes a namespace out of the map.',
  params: Named,
  answer: z.undefined(),
  status: 204,
  handle: async ({ store, mutate }, { who, params: { namespace } }) => {
    const key = PATHS.namespaces + namespace;
    await mutate({ who, operation: 'namespace.delete', subject: `namespace ${namespace}` }, async () => {
      await mustRead(store, key, NamespaceMapping, `mapping of namespace ${namespace}`);
      return { delete: [key], result: undefined };
    });
    return { json: undefined };
  },
});

export const namespaceOperations: readonly Operation[] = [set, list, remove];
