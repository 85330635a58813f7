/** What the server tells Prometheus: names `sluice_server_*`, and of shared volumes `sluice_volume_*`. */
import { Counter, Gauge, Registry } from 'prom-client';
import * as z from 'zod';
import type { Store } from '../../store/contract.ts';
import { readRotation } from './key-state.ts';
import { PATHS } from './layout.ts';
import { type Operation, operation } from './operation.ts';
import type { Rotator } from './rotator.ts';
import { addVolumeMetrics } from './volume-metrics.ts';
import type { VolumeReports } from './volume-reports.ts';

export interface Metrics {
  readonly operations: readonly Operation[];
  /** @param status  HTTP status of the answer */
  count(operationId: string, status: number): void;
  /** @param by  +1 when a watch begins, -1 when it ends */
  countStream(by: 1 | -1): void;
}

const GAUGES = [
  ['sluice_server_tenants', 'Tenants.', PATHS.tenants],
  ['sluice_server_nodes', 'Nodes.', PATHS.nodes],
  ['sluice_server_switches', 'Switches that are open or will be.', PATHS.switches],
  ['sluice_server_tokens', 'Tokens that are neither expired nor revoked.', PATHS.tokens],
] as const;

export function makeMetrics(store: Store, rotator: Rotator, storage: VolumeReports): Metrics {
  const registry = new Registry();
  const registers = [registry];
  for (const [name, help, prefix] of GAUGES) {
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        this.set((await store.list(prefix)).entries.length);
      },
    });
  }
  addKeyMetrics(store, rotator, registers);
  addVolumeMetrics(store, storage, registers);
  const requests = new Counter({
    name: 'sluice_server_requests_total',
    help: 'Requests answered, by operation and HTTP status.',
    labelNames: ['operation', 'status'] as const,
    registers,
  });
  const streams = new Gauge({ name: 'sluice_server_streams', help: 'Watches under way.', registers });
  const show = operation({
    id: 'metrics.show',
    method: 'GET',
    path: '/metrics',
    summary: 'Metrics in the Prometheus text format.',
    answer: z.string(),
    handle: async () => ({ text: await registry.metrics(), contentType: registry.contentType }),
  });
  return {
    operations: [show],
    count: (operationId, status) => requests.inc({ operation: operationId, status }),
    countStream: (by) => streams.inc(by),
  };
}

function addKeyMetrics(store: Store, rotator: Rotator, registers: Registry[]): void {
  new Gauge({
    name: 'sluice_server_key_generation',
    help: 'The generation of keys that nodes are told to send with.',
    registers,
    async collect() {
      this.set((await readRotation(store)).rotation.current);
    },
  });
  new Gauge({
    name: 'sluice_server_key_late_nodes',
    help: 'Nodes that a change of keys went on without, and that have not caught up.',
    registers,
    async collect() {
      this.set((await readRotation(store)).rotation.late.length);
    },
  });
  new Counter({
    name: 'sluice_server_key_rotations_total',
    help: 'Changes of keys that this server has begun and ended.',
    labelNames: ['what'] as const,
    registers,
    collect() {
      this.reset();
      this.inc({ what: 'begun' }, rotator.counts.begun);
      this.inc({ what: 'ended' }, rotator.counts.ended);
    },
  });
}
