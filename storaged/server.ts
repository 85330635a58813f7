/** storaged's socket: mounts and what they hold, how this node's storage is; for root of this machine. */
import * as z from 'zod';
import type { Route } from '../linux/local-routes.ts';
import { SluiceError } from '../model/errors.ts';
import { MountLimitsWish, type NodeMounts } from '../model/mount-limits.ts';
import { TenantName } from '../model/names.ts';
import { MountId, MountRequest } from '../model/volume.ts';
import type { MountStatistics } from '../model/volume-report.ts';
import { type RecoverLine, RecoverWish } from '../model/volume-request.ts';
import { METRICS_TYPE } from '../tagqueue/metrics.ts';
import type { Mount } from './contract.ts';
import type { HeldLimits } from './held-limits.ts';

export interface StoragedWork {
  status(): Promise<object>;
  mount(request: MountRequest): Promise<Mount>;
  /** One that is not there is no error. */
  unmount(id: MountId): Promise<void>;
  mounts(): Promise<NodeMounts>;
  /** A line now, and whenever something has changed. */
  followMounts(signal: AbortSignal): AsyncIterable<NodeMounts>;
  /** @throws SluiceError `not_found`, `storage_failed` */
  statistics(id: MountId): Promise<MountStatistics>;
  readonly limits: HeldLimits;
  metrics(): Promise<string>;
  /** @throws SluiceError `not_found`, `refused`; also while it goes on */
  recover(wish: RecoverWish, signal: AbortSignal): AsyncIterable<RecoverLine>;
}

export function storagedRoutes(work: StoragedWork): Route[] {
  return [
    { method: 'GET', path: '/v1/status', handle: async () => ({ json: await work.status() }) },
    {
      method: 'GET',
      path: '/v1/mounts',
      handle: async ({ query, signal }) =>
        query.get('watch') === '1' ? { stream: work.followMounts(signal) } : { json: await work.mounts() },
    },
    {
      method: 'PUT',
      path: '/v1/mounts',
      handle: async (request) => {
        const { id, hostPath } = await work.mount(parsed(MountRequest, request.json()));
        return { json: { id, hostPath } };
      },
    },
    {
      method: 'DELETE',
      path: '/v1/mounts/:id',
      handle: async ({ params }) => {
        await work.unmount(parsed(MountId, params['id']));
        return { json: {} };
      },
    },
    {
      method: 'GET',
      path: '/v1/mounts/:id/statistics',
      handle: async ({ params }) => ({ json: await work.statistics(parsed(MountId, params['id'])) }),
    },
    {
      method: 'PUT',
      path: '/v1/mounts/:id/limits',
      handle: async (request) => {
        const { limits } = parsed(MountLimitsWish, request.json());
        return { json: await work.limits.setMount(parsed(MountId, request.params['id']), limits) };
      },
    },
    {
      method: 'PUT',
      path: '/v1/shares/tenants/:tenant',
      handle: async (request) => {
        const { limits } = parsed(MountLimitsWish, request.json());
        return { json: await work.limits.setTenant(parsed(TenantName, request.params['tenant']), limits) };
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      handle: async () => ({ text: await work.metrics(), contentType: METRICS_TYPE }),
    },
    {
      method: 'POST',
      path: '/v1/recover',
      handle: async (request) => ({
        stream: work.recover(parsed(RecoverWish, request.json()), request.signal),
      }),
    },
  ];
}

function parsed<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new SluiceError('invalid_request', z.prettifyError(result.error), 'correct the request');
}
