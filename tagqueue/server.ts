/** The daemon's socket API. It only tells; what the plane should be comes from the configuration and the server. */
import { sumPerCpu } from '../linux/bpf.ts';
import type { Route } from '../linux/local-routes.ts';
import { countDrops, type DropFeed } from './drops.ts';
import { COUNTS } from './maps.ts';
import { METRICS_TYPE, metricsText, type PlaneCounters } from './metrics.ts';
import type { Plane } from './plane.ts';

export function tagqueueRoutes(plane: Plane, feed: DropFeed): Route[] {
  const route = (path: string, handle: Route['handle']): Route => ({ method: 'GET', path, handle });
  return [
    route('/v1/status', () => ({ json: statusOf(plane) })),
    route('/v1/plane', ({ query, signal }) =>
      query.get('watch') === '1' ? { stream: followIds(plane, signal) } : { json: plane.state.get().ids },
    ),
    route('/v1/drops', () => ({ json: { drops: countDrops(plane.map('drops')) } })),
    route('/v1/drops/events', ({ signal }) => ({ stream: feed.follow(signal) })),
    route('/metrics', () => ({ text: metricsText(countersOf(plane)), contentType: METRICS_TYPE })),
  ];
}

/** `ready` means that the fence stands whole, ports and uplink. */
function statusOf(plane: Plane): object {
  const { guarded, ids } = plane.state.get();
  const problem = plane.problem();
  return {
    node: ids.node,
    ready: guarded && problem === undefined,
    plane: 'ebpf',
    guarded,
    fastPath: plane.fastPath,
    ...(problem && { problem: { code: problem.code, detail: problem.message, hint: problem.hint } }),
  };
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
