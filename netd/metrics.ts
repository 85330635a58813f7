/** What netd tells Prometheus. */
import { Counter, Gauge, Histogram, Registry as Metrics } from 'prom-client';
import type { FlowDirection } from './flow-limits.ts';
import type { LimitsKeeper } from './limits/keeper.ts';
import { registerLimitsMetrics } from './limits/metrics.ts';
import type { Registry } from './registry.ts';

export interface NetdMetrics {
  /** @param outcome  'ok' or the CNI error code */
  observe(verb: string, outcome: string, seconds: number): void;
  text(): Promise<string>;
}

/** @param register  adds what others measure */
export function netdMetrics(
  registry: Registry,
  limits: LimitsKeeper,
  refused: (direction: FlowDirection) => number,
  register: (metrics: Metrics) => void,
): NetdMetrics {
  const metrics = new Metrics();
  registerLimitsMetrics(metrics, limits);
  const calls = new Counter({
    name: 'sluice_netd_cni_calls_total',
    help: 'Calls of the CNI plugin.',
    labelNames: ['verb', 'outcome'],
    registers: [metrics],
  });
  const durations = new Histogram({
    name: 'sluice_netd_cni_duration_seconds',
    help: 'How long calls of the CNI plugin took inside netd.',
    labelNames: ['verb'],
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2],
    registers: [metrics],
  });
  new Gauge({
    name: 'sluice_netd_endpoints',
    help: 'Endpoints on this node.',
    labelNames: ['tenant'],
    registers: [metrics],
    collect() {
      this.reset();
      for (const { tenant } of registry.all()) this.inc({ tenant });
    },
  });
  new Gauge({
    name: 'sluice_netd_flows_refused',
    help: 'Packets refused because a container or tenant had, or began, all the flows it may, by who began them.',
    labelNames: ['direction'],
    registers: [metrics],
    collect() {
      for (const direction of ['out', 'in'] as const) this.set({ direction }, refused(direction));
    },
  });
  register(metrics);
  return {
    observe(verb, outcome, seconds): void {
      calls.inc({ verb, outcome });
      durations.observe({ verb }, seconds);
    },
    text: () => metrics.metrics(),
  };
}
