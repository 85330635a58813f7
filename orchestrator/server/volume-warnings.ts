/** What the owner of a volume should know, in sentences. Pure. */
import { isoOf } from '../../model/iso-time.ts';
import { replicaSetsOf, type Volume } from '../../model/volume.ts';
import type { Fill, VolumeReport } from '../../model/volume-report.ts';
import type { NodeStorage } from './volume-reports.ts';

/** From here on somebody has to do something. */
const NEAR_FULL = 0.9;

export interface Standing {
  readonly volume: Volume;
  readonly report: VolumeReport | null;
  /** Whether the coordinator has been heard of lately. */
  readonly reachable: boolean;
  /** Of each brick by number, whether it serves; null: nobody knows. */
  readonly online: readonly (boolean | null)[];
  /** Why it is not what it was wanted to be. */
  readonly why: string | undefined;
}

export function warningsOf(standing: Standing): string[] {
  const { volume, report, reachable, why } = standing;
  return [
    ...(why === undefined ? [] : [`what was asked for could not be had: ${why}`]),
    ...redundancy(volume),
    ...phaseWarning(volume),
    ...(reachable
      ? []
      : [`node ${volume.coordinator}, which coordinates it, is silent: what is shown are its last words`]),
    ...troubles(report),
    ...down(standing),
    ...(report?.fill == null ? [] : fullness(report.fill)),
    ...healing(report),
  ];
}

/** For operators: a pool is shared by tenants. */
export function poolWarnings(nodes: readonly { one: NodeStorage; commitment: number }[]): string[] {
  return nodes.flatMap(({ one: { node, pool }, commitment }) => {
    if (pool === null) return [];
    const free = pool.totalBytes === 0 ? 0 : pool.freeBytes / pool.totalBytes;
    return [
      ...(commitment > 1
        ? [
            `the pool of node ${node} has promised ${percent(commitment)} of what it has: thin volumes may find it full`,
          ]
        : []),
      ...(free <= 1 - NEAR_FULL ? [`the pool of node ${node} has ${percent(free)} left`] : []),
    ];
  });
}

function troubles(report: VolumeReport | null): string[] {
  if (report === null || (report.state !== 'failed' && report.why === null)) return [];
  return [`Gluster: ${report.why ?? 'it failed'}`];
}

function redundancy(volume: Volume): string[] {
  const [set = []] = replicaSetsOf(volume);
  if (set.length === 1)
    return ['it is not redundant: its data lies on one node alone, and is gone when that is lost'];
  if (set.length === 2)
    return [
      'it has no arbiters: without the first node of a pair nothing can be written; a third storage node would help, for volumes made from then on',
    ];
  return [];
}

function phaseWarning({ phase, removeAt }: Volume): string[] {
  if (phase === 'deleted' && removeAt !== null)
    return [`it is deleted, and its data is kept until ${isoOf(removeAt)}: sluice volume undelete`];
  return phase === 'removing' ? ['it is being removed'] : [];
}

function down({ volume, online }: Standing): string[] {
  if (volume.phase !== 'ready') return [];
  return volume.bricks.flatMap(({ node }, index) =>
    online[index] === false ? [`brick ${index} on node ${node} is down`] : [],
  );
}

function fullness({ totalBytes, freeBytes, totalInodes, freeInodes }: Fill): string[] {
  const used = (total: number, free: number): number => (total === 0 ? 0 : (total - free) / total);
  const bytes = used(totalBytes, freeBytes);
  const inodes = used(totalInodes, freeInodes);
  return [
    ...(bytes >= NEAR_FULL ? [`it is ${percent(bytes)} full: sluice volume resize`] : []),
    ...(inodes >= NEAR_FULL ? [`it has used ${percent(inodes)} of the files it may hold`] : []),
  ];
}

function healing(report: VolumeReport | null): string[] {
  const { pending = 0, splitBrain = 0 } = report?.heal ?? {};
  return [
    ...(pending > 0
      ? [`${pending} ${pending === 1 ? 'file has' : 'files have'} copies that are catching up`]
      : []),
    ...(splitBrain > 0
      ? [
          `${splitBrain} ${splitBrain === 1 ? 'file is' : 'files are'} in split-brain: its copies disagree, and nobody may say which is right but you`,
        ]
      : []),
  ];
}

function percent(share: number): string {
  return `${Math.floor(share * 100)} %`;
}
