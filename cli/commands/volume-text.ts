/** Volumes in words: one in full, all in a list, and what their mounts do at the moment. Pure. */
import type { Limits } from '../../model/limits.ts';
import { fieldsOf } from '../../model/limits-tree.ts';
import { printLimit } from '../../model/quantity.ts';
import type { Layout, Volume } from '../../model/volume.ts';
import type { Fill } from '../../model/volume-report.ts';
import type { VolumeShown } from '../../model/volume-request.ts';
import { table, timeOf } from '../output.ts';
import { humanBytes } from './usage.ts';
import { type FlowRates, type MountLine, SILENT_AFTER_MS } from './volume-rates.ts';
import { shortField } from './volume-words.ts';

export function listText(volumes: readonly VolumeShown[]): string {
  const rows = volumes.map((shown) => {
    const { volume, report, mounts, warnings } = shown;
    return [
      ...[volume.name, volume.tenant, volume.id, sizeText(volume.sizeBytes), usedText(report?.fill ?? null)],
      ...[volume.layout, String(mounts.length), stateText(shown), warningsText(warnings)],
    ];
  });
  const head = ['name', 'tenant', 'id', 'size', 'used', 'layout', 'mounts', 'state', ''];
  return table(head, rows, 'no volumes; make one: sluice volume create NAME --size 10GiB');
}

/** They are whole sentences, of which a list has no room for more than the number. */
function warningsText({ length }: VolumeShown['warnings']): string {
  if (length === 0) return '';
  return length === 1 ? '! 1 warning' : `! ${length} warnings`;
}

export function shownText(shown: VolumeShown): string {
  const { volume, report, settled, events, warnings } = shown;
  const lines: [string, string][] = [
    ['volume', `${volume.name} (${volume.id}) of tenant ${volume.tenant}`],
    ['state', `${stateText(shown)}${settled ? '' : '; not every node has done its part yet'}`],
    [
      'size',
      `${sizeText(volume.sizeBytes)}${volume.thin ? ', thin' : ''}; used ${fillText(report?.fill ?? null)}`,
    ],
    ['layout', `${volume.layout}: ${layoutText(volume)}`],
    ['limits', `each mount: ${limitsText(volume.limits)}`],
    ['', `all of a node together: ${limitsText(volume.nodeLimits)}`],
    ['healing', healText(shown)],
    ['hosts', volume.hosts.join(', ') || 'none yet'],
    [
      'orders',
      `given by ${volume.coordinator}${shown.reachable ? '' : ', which is not heard of: what is shown is old'}`,
    ],
    ['made', timeOf(volume.createdAt)],
  ];
  return [
    ...lines.map(([name, text]) => `${name.padEnd(8)}${text}`),
    ...warnings.map((warning) => `! ${warning}`),
    '',
    bricksText(shown),
    '',
    mountsText(shown),
    ...(events.length === 0 ? [] : ['', ...events.map(({ at, text }) => `${timeOf(at)}  ${text}`)]),
  ].join('\n');
}

/** In a few words: what it is, or what is going on with it. */
export function stateText({ volume, report, bricks, reachable }: VolumeShown): string {
  switch (volume.phase) {
    case 'creating':
      return `being made: ${progressText(bricks)}`;
    case 'deleted':
      return `deleted${volume.removeAt === null ? '' : `, kept until ${timeOf(volume.removeAt)}`}`;
    case 'removing':
      return 'being removed';
    case 'ready': {
      const down = bricks.filter(({ online }) => online === false).length;
      if (!reachable || report === null) return 'ready, not heard of lately';
      if (report.state !== 'started')
        return `ready, but ${report.state}${report.why === null ? '' : `: ${report.why}`}`;
      return down === 0 ? 'ready' : `ready, ${down} of ${bricks.length} bricks are down`;
    }
  }
}

/** How far the bricks are. */
export function progressText(bricks: VolumeShown['bricks']): string {
  const failed = bricks.find(({ brick }) => brick?.state === 'failed');
  if (failed !== undefined) return `node ${failed.node}: ${failed.brick?.why ?? 'its brick failed'}`;
  const there = bricks.filter(({ brick }) => brick?.state === 'ready').length;
  return `${there} of ${bricks.length} bricks are there`;
}

/** What may be lost without losing data. */
function layoutText({ layout, bricks }: Pick<Volume, 'layout' | 'bricks'>): string {
  if (layout === 'two-by-two' && bricks.some(({ role }) => role === 'arbiter'))
    return 'spread over two pairs of copies, each with an arbiter; any one node may be lost';
  return LAYOUTS[layout];
}

const LAYOUTS: Readonly<Record<Layout, string>> = {
  single: 'one brick, NOT redundant: what is lost with its node is lost',
  'two-by-two': 'spread over two pairs of copies; a copy may be lost, and writing may wait until it is back',
  'replica-3': 'three copies; any one node may be lost',
  arbiter: 'two copies and an arbiter; any one node may be lost',
};

/** Such as 'read 20MB/s, writeOps 500'. */
export function limitsText(limits: Limits, nothing = 'nothing is said'): string {
  const all = fieldsOf(limits).map(([field, value]) => `${shortField(field)} ${printLimit(field, value)}`);
  return all.join(', ') || nothing;
}

function healText({ report }: VolumeShown): string {
  if (report?.heal == null) return 'not known';
  const { pending, splitBrain } = report.heal;
  const done = pending === 0 ? 'nothing is pending' : `${pending} files have still to be brought up to date`;
  return splitBrain === 0 ? done : `${done}; ${splitBrain} files have copies that CONTRADICT each other`;
}

function bricksText({ volume, bricks }: VolumeShown): string {
  const rows = bricks.map(({ node, brick, online }, index) => {
    const wanted = volume.bricks[index];
    const state = brick === null ? 'not there' : (brick.why ?? brick.state);
    return [
      ...[String(index), node, addressText(wanted?.address), wanted?.role ?? ''],
      ...[wanted === undefined ? '' : sizeText(wanted.bytes), usedText(brick?.fill ?? null)],
      ...[state, processText(online)],
    ];
  });
  return table(['brick', 'node', 'address', 'role', 'size', 'used', 'state', 'process'], rows, 'no bricks');
}

/** A tenant is not told where storage nodes listen. */
function addressText(address: string | undefined): string {
  return address === undefined || address === '0.0.0.0' ? '-' : address;
}

function processText(online: boolean | null): string {
  if (online === null) return 'not known';
  return online ? 'serves' : 'DOWN';
}

function mountsText({ mounts }: VolumeShown): string {
  const rows = mounts.map(({ node, mount }) => {
    const { id, container, directory, state, replaced, statistics } = mount;
    const held = statistics === null ? 'not known' : limitsText(statistics.limits, 'unlimited');
    return [node, container.slice(0, 12), directory ?? '', id, state, String(replaced), held];
  });
  const head = ['node', 'container', 'directory', 'mount', 'state', 'replaced', 'holds'];
  return table(head, rows, 'no container has it mounted');
}

/** To the last byte, as --size takes it. */
export function sizeText(bytes: number): string {
  return printLimit('memory', bytes);
}

function usedText(fill: Fill | null): string {
  return fill === null || fill.totalBytes === 0 ? '-' : `${percentOf(fill)} %`;
}

function fillText(fill: Fill | null): string {
  if (fill === null || fill.totalBytes === 0) return 'is not known';
  const used = humanBytes(BigInt(fill.totalBytes - fill.freeBytes));
  const names = fill.totalInodes - fill.freeInodes;
  return `${used}, ${percentOf(fill)} %; ${names} of ${fill.totalInodes} files and directories`;
}

function percentOf({ totalBytes, freeBytes }: Fill): string {
  return (((totalBytes - freeBytes) / totalBytes) * 100).toFixed(1);
}

const STATS = [
  ...['node', 'container', 'read', 'ops/s', 'p50 ≤', 'p99 ≤', 'write', 'ops/s', 'p50 ≤', 'p99 ≤'],
  ...['other ops/s', 'waited', 'queue', ''],
];

/** What `stats` shows, at one moment. */
export function statsText(shown: VolumeShown, lines: readonly MountLine[]): string {
  const { volume, report } = shown;
  const rows = lines.map(statsRow);
  return [
    `${volume.name} (${volume.id}) of tenant ${volume.tenant}: ${stateText(shown)}`,
    `${sizeText(volume.sizeBytes)}, used ${fillText(report?.fill ?? null)}; healing: ${healText(shown)}`,
    ...shown.warnings.map((warning) => `! ${warning}`),
    '',
    table(STATS, rows, 'no container has it mounted'),
  ].join('\n');
}

function statsRow(line: MountLine): string[] {
  const { node, container, rates, state, silentMs } = line;
  const who = [node, container.slice(0, 12)];
  if (rates === null)
    return [...who, ...STATS.slice(3).map(() => '-'), wellBeing(state, silentMs) || 'not known yet'];
  const { read, write, metadata } = rates;
  const waited = read.throttledMsPerSecond + write.throttledMsPerSecond + metadata.throttledMsPerSecond;
  const queued = read.queued + write.queued + metadata.queued;
  return [
    ...[...who, ...flowCells(read), ...flowCells(write), countText(metadata.opsPerSecond)],
    ...[`${durationText(waited * 1_000)}/s`, String(queued), wellBeing(state, silentMs, errorsOf(line))],
  ];
}

function flowCells({ bytesPerSecond, opsPerSecond, p50Us, p99Us }: FlowRates): string[] {
  return [rateText(bytesPerSecond), countText(opsPerSecond), latencyText(p50Us), latencyText(p99Us)];
}

function errorsOf({ rates }: MountLine): number {
  if (rates === null) return 0;
  return rates.read.errorsPerSecond + rates.write.errorsPerSecond + rates.metadata.errorsPerSecond;
}

function wellBeing(state: MountLine['state'], silentMs: number, errors = 0): string {
  if (state === 'broken') return 'BROKEN, its client is being replaced';
  if (silentMs > SILENT_AFTER_MS) return `not heard of for ${Math.round(silentMs / 1_000)} s`;
  return errors > 0 ? `${countText(errors)} errors/s` : '';
}

/** In powers of 1000, so that it can be held against a limit such as 20MB/s. */
export function rateText(bytesPerSecond: number): string {
  for (const [unit, size] of UNITS)
    if (bytesPerSecond >= size) return `${(bytesPerSecond / size).toFixed(1)} ${unit}/s`;
  return `${Math.round(bytesPerSecond)} B/s`;
}

const UNITS = [
  ['GB', 1e9],
  ['MB', 1e6],
  ['kB', 1e3],
] as const;

function countText(perSecond: number): string {
  return perSecond === 0 || perSecond >= 10 ? String(Math.round(perSecond)) : perSecond.toFixed(1);
}

function latencyText(us: number | null): string {
  return us === null ? '-' : durationText(us);
}

/** @param us  microseconds */
export function durationText(us: number): string {
  if (us < 1_000) return `${Math.round(us)} µs`;
  return us < 1_000_000 ? `${(us / 1_000).toFixed(1)} ms` : `${(us / 1_000_000).toFixed(1)} s`;
}
