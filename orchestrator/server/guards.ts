/** Guard rules: what each tenant may do on the internet side. */
import * as z from 'zod';
import { Tenant } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import { egressesCollide, GuardRules } from '../../model/guard.ts';
import { TenantName } from '../../model/names.ts';
import { mustRead, PATHS, readAll } from './layout.ts';
import { type Operation, operation } from './operation.ts';
import { listPage, PageQuery, pageOf } from './paging.ts';

const Named = z.strictObject({ tenant: TenantName });

const apply = operation({
  id: 'guard.apply',
  method: 'PUT',
  path: '/v1/guards/:tenant',
  summary: "Sets a tenant's guard rules, all of them; flows that were let out already go on.",
  params: Named,
  body: GuardRules,
  answer: GuardRules,
  handle: async ({ store, mutate }, { who, params: { tenant }, body: rules }) => {
    if (rules.tenant !== tenant) throw otherTenant(tenant, rules.tenant);
    const result = await mutate({ who, operation: 'guard.apply', subject: `tenant ${tenant}` }, async () => {
      await mustRead(store, PATHS.tenants + tenant, Tenant, `tenant ${tenant}`);
      refuseSharedEgress(rules, await readAll(store, PATHS.guards, GuardRules));
      return { put: [{ key: PATHS.guards + tenant, value: rules }], result: rules };
    });
    return { json: result };
  },
});

const list = operation({
  id: 'guard.list',
  method: 'GET',
  path: '/v1/guards',
  summary: 'Lists guard rules by tenant.',
  query: PageQuery,
  answer: pageOf(GuardRules),
  handle: ({ store }, { query }) => listPage(store, PATHS.guards, query, GuardRules),
});

const show = operation({
  id: 'guard.show',
  method: 'GET',
  path: '/v1/guards/:tenant',
  summary: "Shows one tenant's guard rules.",
  params: Named,
  answer: GuardRules,
  handle: async ({ store }, { params: { tenant } }) => ({ json: await mustReadGuard(store, tenant) }),
});

const remove = operation({
  id: 'guard.delete',
  method: 'DELETE',
  path: '/v1/guards/:tenant',
  summary: "Forgets a tenant's guard rules: it may do anything on the internet side.",
  params: Named,
  answer: z.undefined(),
  status: 204,
  handle: async ({ store, mutate }, { who, params: { tenant } }) => {
    await mutate({ who, operation: 'guard.delete', subject: `tenant ${tenant}` }, async () => {
      await mustReadGuard(store, tenant);
      return { delete: [PATHS.guards + tenant], result: undefined };
    });
    return { json: undefined };
  },
});

export const guardOperations: readonly Operation[] = [apply, list, show, remove];

function mustReadGuard(store: Parameters<typeof mustRead>[0], tenant: TenantName): Promise<GuardRules> {
  return mustRead(store, PATHS.guards + tenant, GuardRules, `guard of tenant ${tenant}`);
}

function refuseSharedEgress(rules: GuardRules, all: readonly GuardRules[]): void {
  for (const other of all.filter(({ tenant }) => tenant !== rules.tenant)) {
    const shared = rules.egress.find((mine) => other.egress.some((theirs) => egressesCollide(mine, theirs)));
    if (shared === undefined) continue;
    throw new SluiceError(
      'conflict',
      `tenant ${other.tenant} leaves by ${shared.address} too`,
      'give each tenant an address of its own, or on one node disjoint ranges of ports',
    );
  }
  const [first, ...rest] = rules.egress;
  const twice =
    first && rest.find((one) => rules.egress.some((two) => two !== one && egressesCollide(one, two)));
  if (twice === undefined) return;
  throw new SluiceError(
    'conflict',
    `two nodes would hold the address ${twice.address}`,
    'an address can be on one node at a time: give each node its own',
  );
}

function otherTenant(tenant: TenantName, named: TenantName): SluiceError {
  return new SluiceError(
    'invalid_request',
    `these are the rules of tenant ${named}, not of ${tenant}`,
    'name the same tenant in the path and in the rules',
  );
}
