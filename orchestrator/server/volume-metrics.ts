/** What the server tells Prometheus of shared volumes: names `sluice_volume_*`; storaged of each node has more. */
import { Gauge, type Registry } from 'prom-client';
import { type Volume, VolumePhase } from '../../model/volume.ts';
import type { VolumeReport } from '../../model/volume-report.ts';
import type { Store } from '../../store/contract.ts';
import type { VolumeReports } from './volume-reports.ts';
import { allVolumes } from './volume-store.ts';

const LABELS = ['tenant', 'volume', 'name'] as const;

/** Of each volume that is ready; nothing where nobody has told. */
const OF_EACH: readonly {
  readonly name: string;
  readonly help: string;
  of(volume: Volume, report: VolumeReport | undefined): number | null | undefined;
}[] = [
  {
    name: 'sluice_volume_size_bytes',
    help: 'What the volume was made for.',
    of: ({ sizeBytes }) => sizeBytes,
  },
  {
    name: 'sluice_volume_used_bytes',
    help: 'What is used of the volume.',
    of: (_, report) => report?.fill && report.fill.totalBytes - report.fill.freeBytes,
  },
  {
    name: 'sluice_volume_used_inodes',
    help: 'Files and directories in the volume.',
    of: (_, report) => report?.fill && report.fill.totalInodes - report.fill.freeInodes,
  },
  {
    name: 'sluice_volume_bricks_down',
    help: "The volume's bricks that do not serve.",
    of: (_, report) => report?.online.filter((online) => !online).length,
  },
  {
    name: 'sluice_volume_heal_pending',
    help: 'Files and directories that some copy has still to catch up with.',
    of: (_, report) => report?.heal?.pending,
  },
  {
    name: 'sluice_volume_split_brain',
    help: 'Files and directories whose copies disagree.',
    of: (_, report) => report?.heal?.splitBrain,
  },
];

export function addVolumeMetrics(store: Store, storage: VolumeReports, registers: Registry[]): void {
  new Gauge({
    name: 'sluice_volumes',
    help: 'Volumes, by phase.',
    labelNames: ['phase'] as const,
    registers,
    async collect() {
      this.reset();
      const all = await allVolumes(store);
      for (const phase of VolumePhase.options)
        this.set({ phase }, all.filter(({ one }) => one.phase === phase).length);
    },
  });
  for (const { name, help, of } of OF_EACH)
    new Gauge({
      ...{ name, help, labelNames: LABELS, registers },
      async collect() {
        this.reset();
        for (const { one } of await allVolumes(store)) {
          if (one.phase !== 'ready') continue;
          const value = of(one, storage.node(one.coordinator)?.volumes.get(one.id));
          if (typeof value === 'number')
            this.set({ tenant: one.tenant, volume: one.id, name: one.name }, value);
        }
      },
    });
  addPoolMetrics(storage, registers);
}

function addPoolMetrics(storage: VolumeReports, registers: Registry[]): void {
  new Gauge({
    name: 'sluice_server_pool_bytes',
    help: 'Pools for bricks: what there is, what is promised, what is free.',
    labelNames: ['node', 'what'] as const,
    registers,
    collect() {
      this.reset();
      for (const { node, pool } of storage.nodes()) {
        if (pool === null) continue;
        this.set({ node, what: 'total' }, pool.totalBytes);
        this.set({ node, what: 'promised' }, pool.promisedBytes);
        this.set({ node, what: 'free' }, pool.freeBytes);
      }
    },
  });
  new Gauge({
    name: 'sluice_server_storage_node_up',
    help: 'Whether a node that has to do with storage has been heard of lately.',
    labelNames: ['node'] as const,
    registers,
    collect() {
      this.reset();
      for (const { node, reachable } of storage.nodes()) this.set({ node }, reachable ? 1 : 0);
    },
  });
}
