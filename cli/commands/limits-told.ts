/** What a node tells of its containers' limits, and how people see it: base, switches, effective, kernel. */
import { changeText } from '../../model/change-text.ts';
import type { EffectiveValue } from '../../model/effective-limits.ts';
import type { LimitField, LimitValue, Subject } from '../../model/limits.ts';
import type { Shortfall } from '../../model/limits-report.ts';
import { printLimit } from '../../model/quantity.ts';
import type { CgroupStatistics } from '../../qos/contract.ts';
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
}

export interface ToldField extends Pick<EffectiveValue, 'base' | 'source' | 'steps'> {
  readonly field: LimitField;
  readonly effective: LimitValue;
  /** Absent where the kernel has no word on it. */
  readonly kernel?: LimitValue;
}

/** Fields that nobody names and the kernel does not limit are left out. */
export function toldText({ subject, fields, shortfalls, events, cgroup, statistics }: ToldLimits): string {
  const { node, tenant, app, instance, containerId, ifName, labels } = subject;
  const named = fields.filter(isOfInterest).map(cellsOf);
  const words = Object.entries(labels).map(([label, value]) => `${label}=${value}`);
  return [
    `container  ${instance ?? containerId.slice(0, 12)}, ${ifName} on ${node}`,
    `tenant     ${tenant}${app === null ? '' : `, app ${app}`}`,
    ...(words.length === 0 ? [] : [`labels     ${words.join(', ')}`]),
    `cgroup     ${cgroup === null ? 'not found yet' : `v${cgroup.version}, ${groupsOf(cgroup.paths)}`}`,
    ...(statistics === null ? [] : [`use        ${useText(statistics)}`]),
    '',
    table(['field', 'base', 'from', 'switches', 'effective', 'kernel'], named, 'nothing is limited'),
    ...shortfalls.map(shortfallText),
    ...events.map(({ at, text }) => `${timeOf(at)}  ${text}`),
  ].join('\n');
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
  const held = kernel === undefined ? '' : `, the kernel has ${printLimit(field, kernel)}`;
  return `! ${field}: ${printLimit(field, wanted)} is wanted${held}: ${why}`;
}
