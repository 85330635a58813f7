/** The part of storaged's socket that netd speaks to, over simulated clients. */
import type { Route } from '../../linux/local-routes.ts';
import { SluiceError } from '../../model/errors.ts';
import { MountLimitsWish, type NodeMounts } from '../../model/mount-limits.ts';
import type { TenantName } from '../../model/names.ts';
import type { SimulatedStoraged } from './simulated-storaged.ts';

/** How soon a change is told. */
const LOOK_MS = 5;

export function storagedRoutes(storaged: SimulatedStoraged): Route[] {
  const wished = (body: unknown): MountLimitsWish['limits'] => MountLimitsWish.parse(body).limits;
  return [
    {
      ...{ method: 'GET', path: '/v1/mounts' },
      handle: async ({ query, signal }) =>
        query.get('watch') === '1'
          ? { stream: picturesOf(storaged, signal) }
          : { json: await storaged.keeper.read() },
    },
    {
      ...{ method: 'PUT', path: '/v1/mounts/:id/limits' },
      handle: async (request) => {
        const found = [...storaged.mounts.keys()].find((id) => id === request.params['id']);
        if (found === undefined) throw new SluiceError('not_found', 'there is no such mount', 'list them');
        return { json: await storaged.keeper.apply(found, wished(request.json())) };
      },
    },
    {
      ...{ method: 'PUT', path: '/v1/shares/tenants/:tenant' },
      handle: async (request) => {
        const tenant = request.params['tenant'] as TenantName;
        return { json: await storaged.keeper.applyShare(tenant, wished(request.json())) };
      },
    },
  ];
}

/** One for every change. */
async function* picturesOf(storaged: SimulatedStoraged, signal: AbortSignal): AsyncGenerator<NodeMounts> {
  let last: NodeMounts | undefined;
  while (!signal.aborted) {
    const now = storaged.keeper.told();
    if (now !== undefined && now !== last) yield now;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
