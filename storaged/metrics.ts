/** What storaged tells Prometheus, in its text format: the pool, bricks, volumes it coordinates, and every mount. */
import type { FlowCounters, StorageReport } from '../model/volume-report.ts';

type Labels = Readonly<Record<string, string | number>>;
interface Sample {
  readonly labels: Labels;
  readonly value: number;
}
interface Family {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** Counters restart with a client; Prometheus knows that of counters. */
export function storageMetrics(report: Omit<StorageReport, 'node' | 'events'>): string {
  return [...ofPool(report), ...ofBricks(report), ...ofVolumes(report), ...ofMounts(report)]
    .filter(({ samples }) => samples.length > 0)
    .map(textOf)
    .join('');
}

function ofPool({ pool }: Pick<StorageReport, 'pool'>): Family[] {
  if (pool === null) return [];
  return [
    gauge('sluice_storage_pool_bytes', 'The room this node has for bricks.', [
      { labels: { what: 'total' }, value: pool.totalBytes },
      { labels: { what: 'free' }, value: pool.freeBytes },
      { labels: { what: 'promised' }, value: pool.promisedBytes },
    ]),
  ];
}

function ofBricks({ bricks }: Pick<StorageReport, 'bricks'>): Family[] {
  const labelsOf = ({ volume, index }: (typeof bricks)[number]): Labels => ({ volume, brick: index });
  return [
    gauge(
      'sluice_storage_brick_ready',
      '1 for a brick of this node that is made and mounted.',
      bricks.map((one) => ({ labels: labelsOf(one), value: one.state === 'ready' ? 1 : 0 })),
    ),
    gauge(
      'sluice_storage_brick_free_bytes',
      'Free room of a brick.',
      bricks.flatMap((one) =>
        one.fill === null ? [] : [{ labels: labelsOf(one), value: one.fill.freeBytes }],
      ),
    ),
  ];
}

function ofVolumes({ volumes }: Pick<StorageReport, 'volumes'>): Family[] {
  return [
    gauge(
      'sluice_storage_volume_bricks_online',
      'Bricks of a volume that serve.',
      volumes.map(({ volume, online }) => ({ labels: { volume }, value: online.filter(Boolean).length })),
    ),
    gauge(
      'sluice_storage_volume_free_bytes',
      'Free room of a volume.',
      volumes.flatMap(({ volume, fill }) =>
        fill === null ? [] : [{ labels: { volume }, value: fill.freeBytes }],
      ),
    ),
    gauge(
      'sluice_storage_heal_pending',
      'Files that some copy has still to catch up with.',
      volumes.flatMap(({ volume, heal }) =>
        heal === null ? [] : [{ labels: { volume }, value: heal.pending }],
      ),
    ),
    gauge(
      'sluice_storage_split_brain',
      'Files whose copies contradict each other.',
      volumes.flatMap(({ volume, heal }) =>
        heal === null ? [] : [{ labels: { volume }, value: heal.splitBrain }],
      ),
    ),
  ];
}

const FLOWS = ['read', 'write', 'metadata'] as const;

function ofMounts({ mounts }: Pick<StorageReport, 'mounts'>): Family[] {
  const labelsOf = ({ id, volume, container }: (typeof mounts)[number]): Labels => ({
    mount: id,
    volume,
    container,
  });
  const flows = (value: (flow: FlowCounters) => number): Sample[] =>
    mounts.flatMap((one) => {
      const { statistics } = one;
      if (statistics === null) return [];
      return FLOWS.map((kind) => ({ labels: { ...labelsOf(one), kind }, value: value(statistics[kind]) }));
    });
  return [
    gauge(
      'sluice_mount_up',
      '1 for a mount whose client lives.',
      mounts.map((one) => ({ labels: labelsOf(one), value: one.state === 'mounted' ? 1 : 0 })),
    ),
    counter(
      'sluice_mount_clients_replaced_total',
      'Clients that died and were replaced in place.',
      mounts.map((one) => ({ labels: labelsOf(one), value: one.replaced })),
    ),
    counter(
      'sluice_mount_operations_total',
      'Operations on a mount.',
      flows(({ ops }) => ops),
    ),
    counter(
      'sluice_mount_bytes_total',
      'Bytes read from and written to a mount.',
      flows(({ bytes }) => bytes),
    ),
    counter(
      'sluice_mount_errors_total',
      'Operations that failed.',
      flows(({ errors }) => errors),
    ),
    counter(
      'sluice_mount_throttled_total',
      'Operations that had to wait for a limit.',
      flows((one) => one.throttled),
    ),
    counter(
      'sluice_mount_throttled_seconds_total',
      'For how long they had to.',
      flows(({ throttledMs }) => throttledMs / 1_000),
    ),
    gauge(
      'sluice_mount_queued',
      'Operations that wait now.',
      flows(({ queued }) => queued),
    ),
  ];
}

function gauge(name: string, help: string, samples: readonly Sample[]): Family {
  return { name, type: 'gauge', help, samples };
}

function counter(name: string, help: string, samples: readonly Sample[]): Family {
  return { name, type: 'counter', help, samples };
}

/** All words in labels are names that have passed a schema, so that nothing in them needs quoting. */
function textOf({ name, type, help, samples }: Family): string {
  const lines = samples.map(({ labels, value }) => {
    const words = Object.entries(labels).map(([label, word]) => `${label}="${word}"`);
    return `${name}{${words.join(',')}} ${value}`;
  });
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ''].join('\n');
}
