/** Tenants' plans, and what holds where no plan says anything: the lower layers of every container's base. */
import * as z from 'zod';
import { Tenant } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import { TenantName } from '../../model/names.ts';
import { emptyPlan, LimitDefaults, NO_DEFAULTS, TenantPlan } from '../../model/plan.ts';
import type { Store } from '../../store/contract.ts';
import { mustRead, PATHS, read } from './layout.ts';
import { type Operation, operation } from './operation.ts';
import { listPage, PageQuery, pageOf } from './paging.ts';
import { notYours } from './tenants.ts';

const Named = z.strictObject({ tenant: TenantName });

const put = operation({
  id: 'plan.set',
  method: 'PUT',
  path: '/v1/plans/:tenant',
  summary: "Sets a tenant's plan, all of it.",
  params: Named,
  body: TenantPlan,
  answer: TenantPlan,
  handle: async ({ store, mutate }, { who, params: { tenant }, body: plan }) => {
    if (plan.tenant !== tenant) throw otherTenant(tenant, plan.tenant);
    const result = await mutate(
      { who, operation: 'plan.set', subject: `plan of tenant ${tenant}` },
      async () => {
        await mustRead(store, PATHS.tenants + tenant, Tenant, `tenant ${tenant}`);
        const before = await read(store, PATHS.plans + tenant, TenantPlan);
        return {
          put: [{ key: PATHS.plans + tenant, value: plan }],
          detail: { before: before ?? null, after: plan },
          result: plan,
        };
      },
    );
    return { json: result };
  },
});

const list = operation({
  id: 'plan.list',
  method: 'GET',
  path: '/v1/plans',
  summary: 'Lists plans by tenant.',
  query: PageQuery,
  answer: pageOf(TenantPlan),
  handle: ({ store }, { query }) => listPage(store, PATHS.plans, query, TenantPlan),
});

const show = operation({
  id: 'plan.show',
  method: 'GET',
  path: '/v1/plans/:tenant',
  summary: "Shows one tenant's plan; without one, the empty one. A tenant sees only its own.",
  params: Named,
  answer: TenantPlan,
  handle: async ({ store }, { who, params: { tenant } }) => {
    if (who.role === 'tenant' && who.tenant !== tenant) throw notYours(tenant);
    await mustRead(store, PATHS.tenants + tenant, Tenant, `tenant ${tenant}`);
    return { json: await planOf(store, tenant) };
  },
});

const remove = operation({
  id: 'plan.delete',
  method: 'DELETE',
  path: '/v1/plans/:tenant',
  summary: "Forgets a tenant's plan: the cluster's defaults hold for it.",
  params: Named,
  answer: z.undefined(),
  status: 204,
  handle: async ({ store, mutate }, { who, params: { tenant } }) => {
    await mutate({ who, operation: 'plan.delete', subject: `plan of tenant ${tenant}` }, async () => {
      const before = await mustRead(store, PATHS.plans + tenant, TenantPlan, `plan of tenant ${tenant}`);
      return { delete: [PATHS.plans + tenant], detail: { before, after: null }, result: undefined };
    });
    return { json: undefined };
  },
});

const showDefaults = operation({
  id: 'limits.showDefault',
  method: 'GET',
  path: '/v1/limits/default',
  summary: 'Shows what holds where neither app nor runtime nor plan says anything, and what a rate counts.',
  answer: LimitDefaults,
  handle: async ({ store }) => ({ json: await defaultsOf(store) }),
});

const setDefaults = operation({
  id: 'limits.setDefault',
  method: 'PUT',
  path: '/v1/limits/default',
  summary: 'Sets it, all of it.',
  body: LimitDefaults,
  answer: LimitDefaults,
  handle: async ({ store, mutate }, { who, body }) => {
    const result = await mutate(
      { who, operation: 'limits.setDefault', subject: 'default limits' },
      async () => ({
        put: [{ key: PATHS.limits, value: body }],
        detail: { before: await defaultsOf(store), after: body },
        result: body,
      }),
    );
    return { json: result };
  },
});

export const planOperations: readonly Operation[] = [put, list, show, remove, showDefaults, setDefaults];

async function planOf(store: Store, tenant: TenantName): Promise<TenantPlan> {
  return (await read(store, PATHS.plans + tenant, TenantPlan)) ?? emptyPlan(tenant);
}

async function defaultsOf(store: Store): Promise<LimitDefaults> {
  return (await read(store, PATHS.limits, LimitDefaults)) ?? NO_DEFAULTS;
}

function otherTenant(tenant: TenantName, named: TenantName): SluiceError {
  return new SluiceError(
    'invalid_request',
    `this is the plan of tenant ${named}, not of ${tenant}`,
    'name the same tenant in the path and in the plan',
  );
}
