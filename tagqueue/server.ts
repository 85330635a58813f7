/** The daemon's socket API. It only tells; what the plane should be comes from the configuration and the server. */
import { sumPerCpu } from '../linux/bpf.ts';
import type { Route } from '../linux/local-routes.ts';
import type { SluiceError } from '../model/errors.ts';
import type { TenantTag } from '../model/names.ts';
import type { Accounting } from './accounts/collector.ts';
import { usageMetricsText } from './accounts/metrics.ts';
import { usageRoutes } from './accounts/routes.ts';
import { countDrops, type DropFeed } from './drops.ts';
import { COUNTS } from './maps.ts';
import { METRICS_TYPE, metricsText, type PlaneCounters } from './metrics.ts';
import type { Plane } from './plane.ts';

export interface TagqueueParts {
  readonly plane: Plane;
  readonly feed: DropFeed;
  readonly accounting: Accounting;
  /** Undefined for a tenant that is not known (any more). */
  tenantName(tag: TenantTag): string | undefined;
}

export function tagqueueRoutes({ plane, feed, accounting, tenantName }: TagqueueParts): Route[] {
  const route = (path: string, handle: Route['handle']): Route => ({ method: 'GET', path, handle });
  return [
    route('/v1/status', () => ({ json: statusOf(plane, accounting) })),
    route('/v1/plane', ({ query, signal }) =>
      query.get('watch') === '1' ? { stream: followIds(plane, signal) } : { json: plane.state.get().ids },
    ),
    route('/v1/drops', () => ({ json: { drops: countDrops(plane.map('drops')) } })),
    route('/v1/drops/events', ({ signal }) => ({ stream: feed.follow(signal) })),
    ...usageRoutes(accounting.collector, Date.now),
    route('/metrics', () => ({
      text: metricsText(countersOf(plane)) + usageMetricsText(accounting.totals(), tenantName),
      contentType: METRICS_TYPE,
    })),
  ];
}

/** `ready` means that the fence stands whole, ports and uplink; usage that cannot be written down waits in the kernel. */
function statusOf(plane: Plane, accounting: Accounting): object {
  const { guarded, ids } = plane.state.get();
  const [problem, usageProblem] = [plane.problem(), accounting.problem()];
  return {
    node: ids.node,
    ready: guarded && problem === undefined,
    plane: 'ebpf',
    guarded,
    fastPath: plane.fastPath,
    ...(problem && { problem: told(problem) }),
    ...(usageProblem && { usageProblem: told(usageProblem) }),
  };
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

function countersOf(plane: Plane): PlaneCounters {
  const counts = plane.map('counts');
  return {
    drops: countDrops(plane.map('drops')),
    tagged: Number(sumPerCpu(counts, COUNTS.tagged)),
    verified: Number(sumPerCpu(counts, COUNTS.verified)),
    guarded: plane.state.get().guarded,
  };
}
