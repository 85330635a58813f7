/** Switches in words: what one would do, and what has become of it. */
import { changesText } from '../../model/change-text.ts';
import type { Capacity, LimitField, Subject } from '../../model/limits.ts';
import { printLimit } from '../../model/quantity.ts';
import type { Switch } from '../../model/switch.ts';
import type {
  CapacityLack,
  PlannedField,
  SwitchEffect,
  SwitchPlanned,
  SwitchShown,
} from '../../model/switch-request.ts';
import { selectorText } from '../../model/switch-words.ts';
import { table, timeOf } from '../output.ts';

/** More rows than this are no help on a terminal; --json has all. */
const MOST_ROWS = 50;

export function plannedText(plan: SwitchPlanned): string {
  const fields = [
    ...plan.containers.map(({ subject, reachable, fields: own }) => ({
      who: whoIs(subject),
      reachable,
      own,
    })),
    ...plan.shares.map(({ node, tenant, reachable, fields: own }) => ({
      ...{ who: [node, tenant, 'all together'], reachable, own },
    })),
  ];
  const rows = fields.flatMap(({ who, reachable, own }) =>
    own.map((field) => [...who, ...fieldCells(field), reachable ? '' : 'not heard of lately']),
  );
  const head = ['node', 'tenant', 'container', 'field', 'base', 'now', 'then', 'other switches', ''];
  return [
    ...headLines(plan.switch),
    rowsText(head, rows, 'it chooses no container'),
    ...plan.squeezes.map(squeezeLine),
    ...plan.lacks.map(lackLine),
    ...silentLine(plan.unreachable),
    ...(plan.refusal === null ? [] : [`it would be refused: ${plan.refusal.message}`]),
  ].join('\n');
}

export function shownText(shown: SwitchShown): string {
  const { switch: one, phase, next, effects, squeezes, settled } = shown;
  const rows = [...effects]
    .sort((a, b) => Number(a.state === 'applied') - Number(b.state === 'applied'))
    .map(effectCells);
  const ended =
    one.closed === null
      ? []
      : [`closed by ${one.closed.by} at ${timeOf(one.closed.at)}: ${one.closed.reason}`];
  return [
    ...headLines(one),
    `opened by ${one.openedBy} at ${timeOf(one.openedAt)}: ${one.reason}`,
    ...(one.approval === null ? [] : [approvalLine(one.approval)]),
    ...ended,
    `${PHASES[phase]}${next === null ? '' : `; ${next.what} at ${timeOf(next.at)}`}`,
    ...(squeezes.length === 0 ? [] : [`room is made by ${squeezes.join(', ')}`]),
    ...(effects.length === 0 ? [] : [summaryOf(effects, settled)]),
    ...(effects.length === 0 ? [] : [rowsText(['node', 'tenant', 'container', 'state', 'why'], rows, '')]),
    ...silentLine(shown.unreachable),
  ].join('\n');
}

/** Such as '1 switch is' and '3 switches are'. */
export function countOf(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

const PHASES: Readonly<Record<SwitchShown['phase'], string>> = {
  pending: 'waits for a second person: sluice switch approve',
  waiting: 'waits for its time',
  open: 'open',
  between: 'between two windows',
  ended: 'over',
  closed: 'closed',
};

function headLines(one: Switch): string[] {
  const part = one.percent === 100 ? '' : `, ${one.percent} per cent of them`;
  const often =
    one.repeat === null
      ? ''
      : `, in windows of ${one.repeat.forMs / 60_000} min at '${one.repeat.cron}' ${one.repeat.zone}`;
  return [
    `switch ${one.id} '${one.name}' for ${selectorText(one.select)}${part}: ${changesText(one.changes)}`,
    `from ${timeOf(one.from)} until ${timeOf(one.until)}${often}, priority ${one.priority}`,
  ];
}

function approvalLine({ by, at }: NonNullable<Switch['approval']>): string {
  return by === null || at === null ? 'nobody has agreed to it yet' : `agreed to by ${by} at ${timeOf(at)}`;
}

function whoIs({ node, tenant, instance, containerId, ifName }: Subject): string[] {
  const name = instance ?? containerId.slice(0, 12);
  return [node, tenant, ifName === 'eth0' ? name : `${name}/${ifName}`];
}

function fieldCells({ field, base, now, becomes, others }: PlannedField): string[] {
  const values = [base, now, becomes].map((value) => printLimit(field, value));
  return [field, ...values, others.join(', ') || '-'];
}

function effectCells({ node, tenant, subject, state, why }: SwitchEffect): string[] {
  const who = subject === null ? [node, tenant, 'all together'] : whoIs(subject);
  return [...who, state, why ?? ''];
}

function summaryOf(effects: readonly SwitchEffect[], settled: boolean): string {
  const states = ['applied', 'partly', 'unreachable', 'pending'] as const;
  const counts = states
    .map((state) => [state, effects.filter((one) => one.state === state).length] as const)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`);
  return `${counts.join(', ')}${settled ? '' : '; not every node has answered yet: sluice switch show'}`;
}

function squeezeLine(one: Switch): string {
  return `room is made by ${one.id} for ${selectorText(one.select)}: ${changesText(one.changes)}`;
}

/** As which field a resource is written. */
const WRITTEN: Readonly<Record<keyof Capacity, LimitField>> = {
  cpu: 'cpu',
  memory: 'memory',
  uplink: 'net.external.out',
};
const CALLED: Readonly<Record<keyof Capacity, string>> = {
  cpu: 'cores',
  memory: 'of memory',
  uplink: 'of its uplink',
};

function lackLine({ node, of, has, wanted }: CapacityLack): string {
  const [there, asked] = [has, wanted].map((value) => printLimit(WRITTEN[of], value));
  return `node ${node} has ${there} ${CALLED[of]}, and ${asked} would be promised`;
}

function silentLine(nodes: readonly string[]): string[] {
  return nodes.length === 0 ? [] : [`not heard of lately: ${nodes.join(', ')}`];
}

function rowsText(head: readonly string[], rows: readonly (readonly string[])[], empty: string): string {
  const text = table(head, rows.slice(0, MOST_ROWS), empty);
  const left = rows.length - MOST_ROWS;
  return left > 0 ? `${text}\n… and ${left} more rows: --json has all` : text;
}
