/** What a node tells of its containers' limits, and how people see it: base, switches, effective, kernel. */
import { changeText } from '../../model/change-text.ts';
import type { EffectiveValue } from '../../model/effective-limits.ts';
import type { LimitField, LimitValue, Subject } from '../../model/limits.ts';
import type { Shortfall } from '../../model/limits-report.ts';
import { printLimit } from '../../model/quantity.ts';
import type { CgroupStatistics } from '../../qos/contract.ts';
import type { MountOrigin } from '../../qos/desired.ts';
import { table, timeOf } from '../output.ts';

/** netd's GET /v1/limits/:container, of each of its attachments. */
export interface ToldLimits {
  readonly subject: Subject;
  readonly fields: readonly ToldField[];
  readonly shortfalls: readonly Shortfall[];
  /** Changed by somebody else and repaired, or out of memory; oldest first. */
  readonly events: readonly { readonly at: number; readonly text: string }[];
  readonly cgroup: { readonly version: number; readonly paths: Readonly<Record<string, string>> } | null;
  readonly statistics: CgroupStatistics | null;
  /** Of shared volumes; each has limits of its own. */
  readonly mounts: readonly ToldMount[];
}

export interface ToldMount {
  readonly volume: string;
  /** The tenant's word for it. */
  readonly name: string | null;
  readonly directory: string | null;
  readonly fields: readonly ToldField[];
  /** What its client holds could not be asked: it is what was known last. */
  readonly unread: boolean;
}

export interface ToldField extends Pick<EffectiveValue, 'base' | 'steps'> {
  readonly source: MountOrigin;
  readonly field: LimitField;
  readonly effective: LimitValue;
  /** Absent where the kernel has no word on it. */
  readonly kernel?: LimitValue;
}

/** Fields that nobody names and the kernel does not limit are left out. */
export function toldText(told: ToldLimits): string {
  const { subject, fields, shortfalls, events, cgroup, statistics, mounts } = told;
  const { node, tenant, app, instance, containerId, ifName, labels } = subject;
  // Of several mounts only the least would be said here.
  const own = mounts.length === 0 ? fields : fields.filter(({ field }) => !field.startsWith('volume.'));
  const words = Object.entries(labels).map(([label, value]) => `${label}=${value}`);
  return [
    `container  ${instance ?? containerId.slice(0, 12)}, ${ifName} on ${node}`,
    `tenant     ${tenant}${app === null ? '' : `, app ${app}`}`,
    ...(words.length === 0 ? [] : [`labels     ${words.join(', ')}`]),
    `cgroup     ${cgroup === null ? 'not found yet' : `v${cgroup.version}, ${groupsOf(cgroup.paths)}`}`,
    ...(statistics === null ? [] : [`use        ${useText(statistics)}`]),
    '',
    fieldsTable(own, 'kernel'),
    ...mounts.flatMap((mount) => ['', mountText(mount), fieldsTable(mount.fields, 'client')]),
    ...shortfalls.map(shortfallText),
    ...events.map(({ at, text }) => `${timeOf(at)}  ${text}`),
  ].join('\n');
}

/** @param holder  who was asked what it holds */
function fieldsTable(fields: readonly ToldField[], holder: string): string {
  const head = ['field', 'base', 'from', 'switches', 'effective', holder];
  return table(head, fields.filter(isOfInterest).map(cellsOf), 'nothing is limited');
}

function mountText({ volume, name, directory, unread }: ToldMount): string {
  const where = directory === null ? '' : ` at ${directory}`;
  return `volume     ${name ?? volume}${where}${unread ? ': its client cannot be asked now' : ''}`;
}

/** One line of a list. */
export function toldRow({ subject, fields, shortfalls }: ToldLimits): string[] {
  const { tenant, instance, containerId, ifName } = subject;
  const limited = fields.filter(({ effective }) => effective !== null);
  const switches = new Set(fields.flatMap(({ steps }) => steps.map((step) => step.switch)));
  const text = limited.map(({ field, effective }) => `${field}=${printLimit(field, effective)}`).join(' ');
  const state =
    shortfalls.length === 0 ? 'applied' : `partly: ${shortfalls.map(({ field }) => field).join(', ')}`;
  const name = instance ?? containerId.slice(0, 12);
  return [name, ifName, tenant, text || 'unlimited', [...switches].join(', ') || '-', state];
}

function isOfInterest({ source, steps, kernel }: ToldField): boolean {
  return source !== 'none' || steps.length > 0 || (kernel !== undefined && kernel !== null);
}

function cellsOf({ field, base, source, steps, effective, kernel }: ToldField): string[] {
  const said = steps.map(
    (step) => `${step.switch}: ${changeText(field, step.change).slice(field.length + 1)}`,
  );
  const held = kernel === undefined ? '-' : printLimit(field, kernel);
  return [field, printLimit(field, base), source, said.join(', ') || '-', printLimit(field, effective), held];
}

function groupsOf(paths: Readonly<Record<string, string>>): string {
  return [...new Set(Object.values(paths))].join(', ') || '-';
}

function useText(all: CgroupStatistics): string {
  const { cpuSeconds, throttledSeconds, throttledPeriods, memoryBytes, oomKills, pids, pidsRefused } = all;
  return [
    `${cpuSeconds.toFixed(1)} s of CPU time, throttled ${throttledSeconds.toFixed(1)} s in ${throttledPeriods} periods`,
    `${(memoryBytes / 2 ** 20).toFixed(1)} MiB of memory, ${oomKills} OOM kills`,
    `${pids} processes and threads, ${pidsRefused} refused`,
  ].join('; ');
}

function shortfallText({ field, wanted, kernel, why }: Shortfall): string {
  const who = field.includes('volume.') ? 'its client' : 'the kernel';
  const held = kernel === undefined ? '' : `, ${who} has ${printLimit(field, kernel)}`;
  return `! ${field}: ${printLimit(field, wanted)} is wanted${held}: ${why}`;
}
