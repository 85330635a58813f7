import type { MountId, VolumeId } from '../model/volume.ts';
import type { FlowCounters } from '../model/volume-report.ts';
import { storageMetrics } from './metrics.ts';

const ID = 'v0123456789ab' as VolumeId;
const flow = (ops: number): FlowCounters => ({
  ...{ ops, bytes: 10 * ops, errors: 0, throttled: 1, throttledMs: 1_500, queued: 2, latency: [] },
});
const nothing = { revision: 1, pool: null, address: null, bricks: [], volumes: [], mounts: [] };

describe('metrics of storage', () => {
  it('are none on a node that has nothing of it', () => {
    expect(storageMetrics(nothing)).toBe('');
  });

  it('tell of the pool, and of each mount by kind, in the units of Prometheus', () => {
    const statistics = { limits: {}, read: flow(1), write: flow(2), metadata: flow(3) };
    const text = storageMetrics({
      ...nothing,
      pool: { totalBytes: 100, promisedBytes: 150, freeBytes: 40 },
      mounts: [
        {
          ...{ id: 'm0123456789ab' as MountId, volume: ID, container: 'c1' as never, directory: null },
          ...{ state: 'mounted', replaced: 1, statistics },
        },
      ],
    });
    const mount = `mount="m0123456789ab",volume="${ID}",container="c1"`;
    for (const line of [
      'sluice_storage_pool_bytes{what="promised"} 150',
      `sluice_mount_up{${mount}} 1`,
      `sluice_mount_clients_replaced_total{${mount}} 1`,
      `sluice_mount_bytes_total{${mount},kind="write"} 20`,
      `sluice_mount_throttled_seconds_total{${mount},kind="read"} 1.5`,
    ])
      expect(text.split('\n')).toContain(line);
  });
});
