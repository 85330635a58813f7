/** What has become of a switch: what its nodes have answered since it was written last. Pure. */
import { isTenantField, LIMIT_FIELDS, type Subject } from '../../model/limits.ts';
import type { Shortfall } from '../../model/limits-report.ts';
import type { NodeName, TenantName } from '../../model/names.ts';
import type { Switch, SwitchId } from '../../model/switch.ts';
import type { SwitchEffect, SwitchPhase, SwitchShown } from '../../model/switch-request.ts';
import { chooses, choosesShare } from '../../model/switch-scope.ts';
import { windowAt } from '../../model/switch-windows.ts';
import type { NodeLimits } from './limit-reports.ts';
import { shareSubject } from './switch-forecast.ts';
import type { KeptSwitch } from './switch-store.ts';

export function phaseOf(one: Switch, now: number): SwitchPhase {
  if (one.closed !== null) return 'closed';
  const window = windowAt(one, now);
  if (window.state === 'over') return 'ended';
  return window.unapproved ? 'pending' : window.state;
}

/** @param now  Unix ms */
export function nextOf(one: Switch, now: number): SwitchShown['next'] {
  const window = windowAt(one, now);
  if (window.state === 'over' || window.unapproved) return null;
  return window.state === 'open' ? { what: 'closes', at: window.until } : { what: 'opens', at: window.from };
}

export interface Witnesses {
  readonly nodes: readonly NodeLimits[];
  readonly zones: ReadonlyMap<NodeName, string | null>;
}

/** Of every container, and of every share, that it chooses. */
export function effectsOf(kept: KeptSwitch, now: number, { nodes, zones }: Witnesses): SwitchEffect[] {
  const { one } = kept;
  const phase = phaseOf(one, now);
  const fields = LIMIT_FIELDS.filter((field) => one.changes[field] !== undefined);
  return nodes.flatMap((node) => {
    const judge = (about: Reported): Pick<SwitchEffect, 'state' | 'why'> =>
      judgeOne(kept, phase, node, about);
    const containers = fields.every(isTenantField) ? [] : [...node.containers.values()];
    const shares = fields.some(isTenantField) ? [...node.shares.values()] : [];
    return [
      ...containers
        .filter(({ subject }) => chooses(one, subject))
        .map((about) => ({ ...whose(node, about.subject.tenant), subject: about.subject, ...judge(about) })),
      ...shares
        .filter(({ tenant }) => choosesShare(one, shareSubject(tenant, node.node, zones)))
        .map((about) => ({ ...whose(node, about.tenant), subject: null, ...judge(about) })),
    ];
  });
}

/** Whether everybody who can be reached has answered. */
export function isSettled(
  kept: KeptSwitch,
  now: number,
  nodes: readonly NodeLimits[],
  effects: readonly SwitchEffect[],
): boolean {
  const phase = phaseOf(kept.one, now);
  if (isUnheard(kept.one)) return true;
  const behind = nodes.some(({ reachable, revision }) => reachable && revision < kept.revision);
  return !behind && (phase === 'waiting' || effects.every(({ state }) => state !== 'pending'));
}

interface Reported {
  readonly subject?: Subject;
  readonly switches: readonly SwitchId[];
  readonly shortfalls: readonly Shortfall[];
}

function judgeOne(
  { one, revision }: KeptSwitch,
  phase: SwitchPhase,
  node: NodeLimits,
  { subject, switches, shortfalls }: Reported,
): Pick<SwitchEffect, 'state' | 'why'> {
  if (isUnheard(one)) return { state: 'pending', why: 'nobody has agreed to it' };
  if (!node.reachable)
    return {
      state: 'unreachable',
      why: `node ${node.node} has not been heard of for ${Math.round(node.silentMs / 1_000)} s; it holds and ends by itself what it knows of`,
    };
  if (node.revision < revision) return { state: 'pending', why: 'the node has not heard of it yet' };
  const named = switches.includes(one.id);
  if (phase === 'open' && !named) return { state: 'pending', why: 'the node has not put it in force yet' };
  if (phase === 'waiting') return { state: 'pending', why: 'its time has not come' };
  // A share that nothing limits any more is not reported again.
  if (phase !== 'open' && named && subject !== undefined)
    return { state: 'pending', why: 'the node has not ended it yet' };
  const short = shortfalls.filter(({ field }) => one.changes[field] !== undefined);
  if (short.length === 0) return { state: 'applied', why: null };
  return { state: 'partly', why: short.map(({ field, why }) => `${field}: ${why}`).join('; ') };
}

/** Nodes hear of a switch when a second person has agreed, and of this one nobody has. */
function isUnheard({ approval }: Switch): boolean {
  return approval !== null && approval.at === null;
}

function whose(node: NodeLimits, tenant: TenantName): Pick<SwitchEffect, 'node' | 'tenant'> {
  return { node: node.node, tenant };
}
