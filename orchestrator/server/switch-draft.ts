/** From what somebody asks for to the switch that it would be. Pure. */
import { SluiceError } from '../../model/errors.ts';
import { isoOf } from '../../model/iso-time.ts';
import type { Switch, SwitchId } from '../../model/switch.ts';
import type { SwitchRequest } from '../../model/switch-request.ts';
import { scopeProblem } from '../../model/switch-scope.ts';
import { windowAt } from '../../model/switch-windows.ts';
import type { Preset, SwitchRules } from './switch-rules.ts';

/** A repetition is a plan for long, and each of its windows is short. */
const LONGEST_SERIES_MS = 366 * 86_400_000;

/** @throws SluiceError `not_found` (preset), `invalid_request` (times, changes), `refused` (too long) */
export function draftSwitch(
  request: SwitchRequest,
  rules: SwitchRules,
  now: number,
  id: SwitchId,
  openedBy: string,
): Switch {
  const preset = presetOf(request, rules);
  const changes = { ...preset?.changes, ...request.changes };
  if (Object.keys(changes).length === 0)
    throw wrong('it is not said what to change', 'name a preset, or changes such as --lift net.external');
  const { from = now, repeat } = request;
  const one: Switch = {
    id,
    name: request.name ?? request.preset ?? 'switch',
    select: request.select,
    changes,
    percent: request.percent,
    priority: request.priority ?? preset?.priority ?? 0,
    from,
    until: untilOf(request, preset, from),
    repeat,
    reason: request.reason.trim(),
    mayKill: request.mayKill,
    squeezeFor: null,
    openedBy,
    openedAt: now,
    approval: null,
    closed: null,
  };
  const problem = scopeProblem(one);
  if (problem !== undefined)
    throw wrong(problem, 'open two switches: one for the containers, one for the shares');
  checkTimes(one, rules, now);
  return one;
}

/** @throws SluiceError `invalid_request`, `refused` */
export function checkTimes(one: Switch, { longestMs }: SwitchRules, now: number): void {
  const { from, until, repeat } = one;
  if (until <= from)
    throw wrong(
      `it would end (${isoOf(until)}) before it begins (${isoOf(from)})`,
      'give an end after the beginning',
    );
  if (until <= now) throw wrong(`its end (${isoOf(until)}) has passed`, 'give an end that is still to come');
  const stretch = repeat === null ? until - from : repeat.forMs;
  if (stretch > longestMs)
    throw new SluiceError(
      'refused',
      `it would be open for ${hours(stretch)} at a stretch, and the longest allowed is ${hours(longestMs)}`,
      'give it an earlier end and extend it when it is needed, or change switches.longest at the server',
    );
  if (repeat !== null && until - from > LONGEST_SERIES_MS)
    throw new SluiceError('refused', 'it would come back for more than a year', 'give it an earlier end');
  if (windowAt({ ...one, approval: null, closed: null }, now).state === 'over')
    throw wrong(
      'none of its windows lies before its end',
      'look at the repetition, its time zone, and the end',
    );
}

function presetOf({ preset: name }: SwitchRequest, { presets }: SwitchRules): Preset | undefined {
  if (name === undefined) return undefined;
  const preset = presets.get(name);
  if (preset !== undefined) return preset;
  const known = [...presets.keys()].join(', ');
  throw new SluiceError(
    'not_found',
    `there is no preset ${name}`,
    known === '' ? 'the server has none (switches.presets)' : `there are: ${known}`,
  );
}

function untilOf({ until, forMs }: SwitchRequest, preset: Preset | undefined, from: number): number {
  if (until !== undefined && forMs !== undefined)
    throw wrong('both an end and a length are given', 'give one of the two: --until or --for');
  if (until !== undefined) return until;
  const length = forMs ?? preset?.forMs;
  if (length === undefined)
    throw wrong('it is not said when it ends', 'say --for 6h or --until 2030-01-31T12:00Z');
  return from + length;
}

function wrong(message: string, hint: string): SluiceError {
  return new SluiceError('invalid_request', message, hint);
}

function hours(ms: number): string {
  return `${Math.round(ms / 360_000) / 10} h`;
}
