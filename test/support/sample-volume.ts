/** A volume as the server shows it, with bricks that serve and mounts that work; for tests of what people see of it. */
import { Volume } from '../../model/volume.ts';
import { type FlowCounters, MountReport, type MountStatistics } from '../../model/volume-report.ts';
import { VolumeShown } from '../../model/volume-request.ts';

export const GIB = 2 ** 30;
export const AT = Date.UTC(2030, 0, 31, 12);

/** Four bricks on two nodes, two by two. */
export function sampleVolume(more: object = {}): Volume {
  const brick = (node: string, last: number): object => {
    return { node, address: `192.0.2.${last}`, role: 'data', bytes: 5 * GIB };
  };
  return Volume.parse({
    ...{ id: 'v0123456789ab', tenant: 'shop', name: 'shared', phase: 'ready', sizeBytes: 10 * GIB },
    ...{ inodes: null, layout: 'two-by-two', thin: false, generation: 1, removeAt: null, createdAt: AT },
    bricks: [brick('a', 1), brick('b', 2), brick('a', 1), brick('b', 2)],
    ...{ limits: { 'volume.read': 20e6 }, nodeLimits: {}, hosts: ['a', 'b'], coordinator: 'a' },
    ...more,
  });
}

export function sampleShown(more: object = {}, volume: Volume = sampleVolume()): VolumeShown {
  const fill = { totalBytes: 10 * GIB, freeBytes: 7.5 * GIB, totalInodes: 1_000, freeInodes: 990 };
  const bricks = volume.bricks.map(({ node }, index) => {
    const brick = { volume: volume.id, index, state: 'ready', generation: 1, why: null, fill };
    return { node, brick, online: true };
  });
  return VolumeShown.parse({
    ...{ volume, reachable: true, settled: true, bricks, mounts: [], events: [], warnings: [] },
    report: {
      ...{ volume: volume.id, generation: 1, state: 'started', why: null, fill },
      ...{ online: volume.bricks.map(() => true), heal: { pending: 0, splitBrain: 0 } },
    },
    ...more,
  });
}

export const NO_FLOW: FlowCounters = {
  ...{ ops: 0, bytes: 0, errors: 0, throttled: 0, throttledMs: 0, queued: 0, latency: [] },
};

export function sampleMount(more: object = {}): MountReport {
  const statistics: MountStatistics = { limits: {}, read: NO_FLOW, write: NO_FLOW, metadata: NO_FLOW };
  return MountReport.parse({
    ...{ id: 'm0123456789ab', volume: 'v0123456789ab', container: 'c0ffee0123456789', directory: '/data' },
    ...{ state: 'mounted', replaced: 0, statistics, ...more },
  });
}
