/** netd's socket: the relay's route, and what operators ask. */
import * as z from 'zod';
import type { ApiRequest, Route } from '../linux/local-routes.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { SluiceError } from '../model/errors.ts';
import type { Labels } from '../model/limits.ts';
import { ContainerId, ContainerName, TenantName } from '../model/names.ts';
import { cniRoute } from './cni-route.ts';
import type { Netd } from './context.ts';
import { limitsRoutes } from './limits/routes.ts';
import type { RunningLimits } from './limits/start.ts';
import type { NetdMetrics } from './metrics.ts';
import type { Reconciler } from './reconciler.ts';
import { Reservation } from './reservation.ts';
import { status } from './verbs/status.ts';

export function netdRoutes(
  netd: Netd,
  limits: RunningLimits,
  reconciler: Reconciler,
  metrics: NetdMetrics,
): Route[] {
  return [
    cniRoute(netd, metrics),
    { method: 'GET', path: '/v1/status', handle: async () => ({ json: await statusOf(netd) }) },
    { method: 'GET', path: '/v1/endpoints', handle: () => ({ json: { endpoints: netd.registry.all() } }) },
    {
      method: 'GET',
      path: '/v1/endpoints/:container',
      handle: (request) => ({ json: { endpoints: endpointsOf(netd, request) } }),
    },
    ...limitsRoutes({
      keeper: limits.keeper,
      find: (request) => endpointsOf(netd, request),
      label: (endpoint, labels) => label(netd, endpoint, labels),
      request: () => limits.request(),
    }),
    { method: 'POST', path: '/v1/reconcile', handle: async () => ({ json: await reconciler.runNow() }) },
    {
      method: 'GET',
      path: '/v1/reservations',
      handle: () => ({ json: { reservations: netd.registry.allReservations() } }),
    },
    { method: 'POST', path: '/v1/reservations', handle: (request) => reserve(netd, request) },
    {
      method: 'DELETE',
      path: '/v1/reservations/:tenant/:name',
      handle: (request) => unreserve(netd, request),
    },
    {
      method: 'GET',
      path: '/metrics',
      handle: async () => ({ text: await metrics.text(), contentType: 'text/plain; version=0.0.4' }),
    },
  ];
}

async function statusOf(netd: Netd): Promise<object> {
  const facts = netd.facts();
  const fault = await status(netd).then(
    () => undefined,
    (error: unknown) => error as SluiceError,
  );
  return {
    ready: fault === undefined,
    ...(fault && { reason: fault.message, hint: fault.hint }),
    endpoints: netd.registry.all().length,
    ...(facts && { node: facts.node, uplink: facts.uplink, bridges: facts.bridges }),
  };
}

/** By the runtime's id, by its first characters where they name one, or by the container's name. */
export function endpointsOf(
  netd: Pick<Netd, 'registry'>,
  { params }: Pick<ApiRequest, 'params'>,
): readonly Endpoint[] {
  const wanted = parsed(ContainerId, params['container']);
  const all = netd.registry.all();
  const exact = all.filter(
    ({ containerId, containerName }) => containerId === wanted || containerName === (wanted as string),
  );
  const found = exact.length > 0 ? exact : all.filter(({ containerId }) => containerId.startsWith(wanted));
  if (found.length > 0) return found;
  throw new SluiceError('not_found', `no container ${wanted} on this node`, 'see `sluice endpoint list`');
}

/** Under the container's lock: an operation on it would write its record without the labels. */
function label(netd: Netd, { containerId, ifName }: Endpoint, labels: Labels): Promise<Endpoint> {
  return netd.locks(containerId, () => {
    const present = netd.registry.get(containerId, ifName);
    if (present?.phase === 'ready') return netd.registry.label(present, labels);
    throw new SluiceError('not_found', `container ${containerId} is gone`, 'see `sluice endpoint list`');
  });
}

async function reserve(netd: Netd, request: ApiRequest): Promise<{ status: number; json: unknown }> {
  const reservation = parsed(Reservation, request.json());
  await netd.registry.reserve(reservation);
  return { status: 201, json: reservation };
}

async function unreserve(netd: Netd, { params }: ApiRequest): Promise<{ json: unknown }> {
  await netd.registry.unreserve(parsed(TenantName, params['tenant']), parsed(ContainerName, params['name']));
  return { json: {} };
}

function parsed<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new SluiceError('invalid_request', z.prettifyError(result.error), 'correct the request');
}
