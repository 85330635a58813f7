/** The daemon's socket API over the plane without eBPF: the same questions and answers as tagqueue/server.ts. */
import type { Route } from '../../linux/local-routes.ts';
import type { Accounting } from '../accounts/collector.ts';
import { usageMetricsText } from '../accounts/metrics.ts';
import { usageRoutes } from '../accounts/routes.ts';
import type { DropNames } from '../drop-names.ts';
import type { DropCount, DropLog } from '../drops.ts';
import { guardMetrics, withGuard } from '../guard/counts.ts';
import type { Guard } from '../guard/guard.ts';
import { METRICS_TYPE, metricsText } from '../metrics.ts';
import { probeMetricsText } from '../probes/metrics.ts';
import type { Prober } from '../probes/prober.ts';
import { carrierRoutes, dropEventRoutes, FENCED, UNFENCE, usageProblemOf } from '../server.ts';
import type { NfqueuePlane } from './plane.ts';

/** What the daemon has besides the plane; a guard only where there is a cluster. */
export interface NfqueueParts {
  readonly drops: DropLog;
  readonly names: DropNames;
  readonly guard: Guard | undefined;
  readonly prober: Prober | undefined;
  readonly accounting: Accounting;
}

export function nfqueueRoutes(
  plane: NfqueuePlane,
  { drops, names, guard, prober, accounting }: NfqueueParts,
): Route[] {
  const route = (path: string, handle: Route['handle']): Route => ({ method: 'GET', path, handle });
  return [
    route('/v1/status', () => ({
      json: {
        ...statusOf(plane),
        ...usageProblemOf(accounting),
        ...(prober && { probes: prober.findings.report() }),
        ...(guard && { guard: guard.status() }),
      },
    })),
    route('/v1/plane', ({ query, signal }) =>
      query.get('watch') === '1' ? { stream: followIds(plane, signal) } : { json: plane.state.get().ids },
    ),
    route('/v1/drops', () => ({ json: { drops: counted(plane, names, guard) } })),
    ...usageRoutes(accounting.collector, Date.now),
    ...dropEventRoutes(drops),
    ...carrierRoutes(prober),
    route('/metrics', () => ({
      text: [
        metricsOf(plane, counted(plane, names, guard)),
        guardMetrics(guard, names),
        usageMetricsText(accounting.totals(), names.tenantOf),

        prober === undefined ? '' : probeMetricsText(prober.findings),
      ].join(''),
      contentType: METRICS_TYPE,
    })),
  ];
}

function counted(plane: NfqueuePlane, names: DropNames, guard: Guard | undefined): DropCount[] {
  const counts = plane.drops(names.tenantOf);
  return guard === undefined ? counts : withGuard(counts, guard.counts(), names.tenantOf);
}

function statusOf(plane: NfqueuePlane): object {
  const { guarded, ids, keys, fenced, dropsIpv6 } = plane.state.get();
  const problem = plane.problem();
  return {
    node: ids.node,
    ready: guarded && problem === undefined && !fenced,
    plane: 'nfqueue',
    gear: ids.nfqueue.flows ? 'flows' : 'packets',
    guarded,
    fenced,
    keys,
    ...(fenced && { reason: FENCED, hint: UNFENCE }),
    fastPath: { on: false, why: 'the plane nfqueue has none' },
    dropsIpv6,
    ...(problem && { problem: { code: problem.code, detail: problem.message, hint: problem.hint } }),
  };
}

async function* followIds(plane: NfqueuePlane, signal: AbortSignal): AsyncGenerator<unknown> {
  let told = '';
  for await (const { ids } of plane.state.follow(signal)) {
    const text = JSON.stringify(ids);
    if (text !== told) yield ids;
    told = text;
  }
}

/** What both planes count, and how the queues keep up. */
function metricsOf(plane: NfqueuePlane, drops: readonly DropCount[]): string {
  const { tagged, verified, queueDrops, waiting, overruns, restarts } = plane.counters();
  const common = metricsText({
    drops,
    ...{ tagged, verified, guarded: plane.state.get().guarded },
  });
  const own = [
    '# HELP sluice_tagqueue_queue_drops_total Packets that the kernel dropped because a packet queue was full.',
    '# TYPE sluice_tagqueue_queue_drops_total counter',
    `sluice_tagqueue_queue_drops_total ${queueDrops}`,
    '# HELP sluice_tagqueue_queue_waiting Packets that wait for a verdict.',
    '# TYPE sluice_tagqueue_queue_waiting gauge',
    `sluice_tagqueue_queue_waiting ${waiting}`,
    "# HELP sluice_tagqueue_queue_overruns_total How often a worker's socket buffer was full.",
    '# TYPE sluice_tagqueue_queue_overruns_total counter',
    `sluice_tagqueue_queue_overruns_total ${overruns}`,
    '# HELP sluice_tagqueue_worker_restarts_total Workers at packet queues that ended and were started again.',
    '# TYPE sluice_tagqueue_worker_restarts_total counter',
    `sluice_tagqueue_worker_restarts_total ${restarts}`,
  ];
  return `${common}${own.join('\n')}\n`;
}
