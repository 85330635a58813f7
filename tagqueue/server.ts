/** The daemon's socket API. It only tells; what the plane should be comes from the configuration and the server. */
import { sumPerCpu } from '../linux/bpf.ts';
import type { Route } from '../linux/local-routes.ts';
import { type DropFilter, isWanted } from '../model/drop.ts';
import type { SluiceError } from '../model/errors.ts';
import type { Accounting } from './accounts/collector.ts';
import { usageMetricsText } from './accounts/metrics.ts';
import { usageRoutes } from './accounts/routes.ts';
import type { DropNames } from './drop-names.ts';
import { countDrops, type DropCount, type DropLog } from './drops.ts';
import { guardMetrics, withGuard } from './guard/counts.ts';
import type { Guard } from './guard/guard.ts';
import { COUNTS } from './maps.ts';
import { METRICS_TYPE, metricsText, type PlaneCounters } from './metrics.ts';
import type { Plane } from './plane.ts';
import { probeMetricsText } from './probes/metrics.ts';
import type { Prober } from './probes/prober.ts';

export interface TagqueueParts {
  readonly plane: Plane;
  readonly drops: DropLog;
  readonly names: DropNames;
  /** Undefined on a plane that stands alone, as in tests. */
  readonly prober: Prober | undefined;
  readonly accounting: Accounting;
  /** Undefined as above. */
  readonly guard: Guard | undefined;
}

export function tagqueueRoutes({ plane, drops, names, prober, accounting, guard }: TagqueueParts): Route[] {
  const route = (path: string, handle: Route['handle']): Route => ({ method: 'GET', path, handle });
  return [
    route('/v1/status', () => ({
      json: {
        ...statusOf(plane, accounting),
        ...(prober && { probes: prober.findings.report() }),
        ...(guard && { guard: guard.status() }),
      },
    })),
    route('/v1/plane', ({ query, signal }) =>
      query.get('watch') === '1' ? { stream: followIds(plane, signal) } : { json: plane.state.get().ids },
    ),
    ...usageRoutes(accounting.collector, Date.now),
    route('/metrics', () => ({
      text: [
        metricsText(countersOf(plane, names, guard)),
        guardMetrics(guard, names),
        usageMetricsText(accounting.totals(), names.tenantOf),
        prober === undefined ? '' : probeMetricsText(prober.findings),
      ].join(''),
      contentType: METRICS_TYPE,
    })),
    route('/v1/drops', () => ({ json: { drops: counted(plane, names, guard) } })),
    ...dropEventRoutes(drops),
    ...carrierRoutes(prober),
  ];
}

/** Whether each carrier gets through to the peers, where there are any. */
export function carrierRoutes(prober: Prober | undefined): Route[] {
  if (prober === undefined) return [];
  const handle: Route['handle'] = async () => ({ json: await prober.tryCarriers() });
  return [{ method: 'POST', path: '/v1/probes/carriers', handle }];
}

/** Refused packets one by one, the same on every plane. */
export function dropEventRoutes(drops: DropLog): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/drops/recent',
      handle: ({ query }) => {
        const filter = filterOf(query);
        return { json: { items: drops.recent().filter((event) => isWanted(event, filter)) } };
      },
    },
    {
      method: 'GET',
      path: '/v1/drops/events',
      handle: ({ query, signal }) => {
        const filter = filterOf(query);
        return { stream: drops.follow(signal, (event) => isWanted(event, filter)) };
      },
    },
  ];
}

export const FENCED = 'this node was shut out of the cluster: it has no keys, and others refuse its packets';
export const UNFENCE = 'if it is to be trusted again, at the server: sluice node unfence, with its name';

/** `ready` means that the fence stands whole, ports and uplink; usage that cannot be written down waits in the kernel. */
function statusOf(plane: Plane, accounting: Accounting): object {
  const { guarded, ids, keys, fenced } = plane.state.get();
  const problem = plane.problem();
  return {
    node: ids.node,
    ready: guarded && problem === undefined && !fenced,
    plane: 'ebpf',
    guarded,
    fastPath: plane.fastPath,
    fenced,
    keys,
    ...(fenced && { reason: FENCED, hint: UNFENCE }),
    ...(problem && { problem: told(problem) }),
    ...usageProblemOf(accounting),
  };
}

/** Why usage waits in the kernel, if it does. */
export function usageProblemOf(accounting: Accounting): object {
  const problem = accounting.problem();
  return problem === undefined ? {} : { usageProblem: told(problem) };
}

function told({ code, message, hint }: SluiceError): object {
  return { code, detail: message, hint };
}

/** Only when they differ from those told before: being guarded changes too. */
async function* followIds(plane: Plane, signal: AbortSignal): AsyncGenerator<unknown> {
  let told = '';
  for await (const { ids } of plane.state.follow(signal)) {
    const text = JSON.stringify(ids);
    if (text !== told) yield ids;
    told = text;
  }
}

function filterOf(query: URLSearchParams): DropFilter {
  return { tenant: query.get('tenant') ?? undefined, reason: query.get('reason') ?? undefined };
}

function counted(plane: Plane, names: DropNames, guard: Guard | undefined): DropCount[] {
  const counts = countDrops(plane.map('drops'), plane.map('drop_counts'), names.tenantOf);
  return guard === undefined ? counts : withGuard(counts, guard.counts(), names.tenantOf);
}

function countersOf(plane: Plane, names: DropNames, guard: Guard | undefined): PlaneCounters {
  const counts = plane.map('counts');
  return {
    drops: counted(plane, names, guard),
    tagged: Number(sumPerCpu(counts, COUNTS.tagged)),
    verified: Number(sumPerCpu(counts, COUNTS.verified)),
    guarded: plane.state.get().guarded,
  };
}
