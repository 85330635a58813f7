/** How a switch ends before its time, lasts longer, or gets the second person's word that it waits for. */
import * as z from 'zod';
import { SluiceError } from '../../model/errors.ts';
import { isoOf } from '../../model/iso-time.ts';
import { type Switch, SwitchId } from '../../model/switch.ts';
import {
  ApproveRequest,
  CloseRequest,
  ExtendRequest,
  SwitchShown,
  WaitQuery,
} from '../../model/switch-request.ts';
import type { Store } from '../../store/contract.ts';
import { type Cluster, type Operation, operation } from './operation.ts';
import { nameOf, type Principal } from './principal.ts';
import { detailOfEnding, detailOfOpening } from './switch-audit.ts';
import { checkTimes } from './switch-draft.ts';
import { effectsOf, isSettled } from './switch-effects.ts';
import { planSwitch, readWorld, type SwitchForecast } from './switch-planning.ts';
import { readWitnesses, shownWhenSettled } from './switch-showing.ts';
import {
  type KeptSwitch,
  liveKey,
  liveSwitches,
  mustFindSwitch,
  newSwitchId,
  toHistory,
} from './switch-store.ts';
import { whenSettled } from './when-settled.ts';

const Named = z.strictObject({ id: SwitchId });

const close = operation({
  id: 'switch.close',
  method: 'POST',
  path: '/v1/switches/:id/close',
  summary: 'Ends a switch before its time, and those that made room for it.',
  params: Named,
  query: WaitQuery,
  body: CloseRequest,
  answer: SwitchShown,
  handle: async (cluster, { who, params: { id }, query: { waitMs }, body: { reason }, signal }) => {
    await closeThose(cluster, who, 'switch.close', `switch ${id}`, reason, async () => {
      const { one } = await mustBeAlive(cluster.store, id);
      return [one, ...(await squeezesOf(cluster.store, id))];
    });
    return { json: await answerFor(cluster, id, who, waitMs, signal) };
  },
});

const ClosedAll = z.strictObject({
  closed: z.array(SwitchId),
  /** Whether every node that can be reached has taken them back. */
  settled: z.boolean(),
});

const closeAll = operation({
  id: 'switch.closeAll',
  method: 'POST',
  path: '/v1/switches/close-all',
  summary: 'Ends every switch: those that are open, those to come, and those that wait for a second person.',
  query: WaitQuery,
  body: CloseRequest,
  answer: ClosedAll,
  handle: async (cluster, { who, query: { waitMs }, body: { reason }, signal }) => {
    const ids = await closeThose(cluster, who, 'switch.closeAll', 'every switch', reason, async () =>
      (await liveSwitches(cluster.store)).map(({ one }) => one),
    );
    const look = async (): Promise<z.infer<typeof ClosedAll>> => ({
      closed: ids,
      settled: await areGone(cluster, ids),
    });
    return { json: await whenSettled(cluster.limits.news, look, waitMs, signal) };
  },
});

const extend = operation({
  id: 'switch.extend',
  method: 'POST',
  path: '/v1/switches/:id/extend',
  summary: 'Gives a switch, and those that make room for it, another end: later or earlier.',
  params: Named,
  query: WaitQuery,
  body: ExtendRequest,
  answer: SwitchShown,
  handle: async (cluster, { who, params: { id }, query: { waitMs }, body, signal }) => {
    const { store, mutate, now, switchRules: rules, switches } = cluster;
    const { until, reason, force } = body;
    const subject = `switch ${id} until ${isoOf(until)}`;
    await mutate({ who, operation: 'switch.extend', subject, reason }, async () => {
      const { one } = await mustBeAlive(store, id);
      const before = await squeezesOf(store, id);
      // What was agreed to had an end; a later one takes a second person again.
      if (one.approval !== null && until > one.until && one.openedBy === nameOf(who)) throw needsAnother(one);
      const extended: Switch = { ...one, until };
      const squeezes = before.map((each): Switch => ({ ...each, until }));
      const after = [extended, ...squeezes];
      for (const each of after) checkTimes(each, rules, now());
      await refuseLacking(cluster, extended, squeezes, force);
      return {
        put: after.map((each) => ({ key: liveKey(each), value: each })),
        detail: { before: { until: one.until }, after: { until } },
        result: undefined,
      };
    });
    switches.changed('extended');
    return { json: await answerFor(cluster, id, who, waitMs, signal) };
  },
});

const approve = operation({
  id: 'switch.approve',
  method: 'POST',
  path: '/v1/switches/:id/approve',
  summary: 'Agrees to a switch that waits for a second person: nodes hear of it from now on.',
  params: Named,
  query: WaitQuery,
  body: ApproveRequest,
  answer: SwitchShown,
  handle: async (cluster, { who, params: { id }, query: { waitMs }, body: { reason, force }, signal }) => {
    const { store, mutate, now, switches } = cluster;
    await mutate({ who, operation: 'switch.approve', subject: `switch ${id}`, reason }, async () => {
      const { one } = await mustBeAlive(store, id);
      if (one.approval === null || one.approval.at !== null) throw notWaiting(one);
      if (one.openedBy === nameOf(who)) throw needsAnother(one);
      const waiting = await squeezesOf(store, id);
      const approval = { by: nameOf(who), at: now() };
      const agreed: Switch = { ...one, approval };
      const squeezes = waiting.map((each): Switch => ({ ...each, approval }));
      const planned = await refuseLacking(cluster, agreed, squeezes, force);
      return {
        put: [agreed, ...squeezes].map((each) => ({ key: liveKey(each), value: each })),
        delete: [one, ...waiting].map(liveKey),
        detail: detailOfOpening({ ...planned, squeezes }),
        result: undefined,
      };
    });
    switches.changed('approved');
    return { json: await answerFor(cluster, id, who, waitMs, signal) };
  },
});

export const switchEndOperations: readonly Operation[] = [close, closeAll, extend, approve];

/**
 * @param one  as it would be
 * @param squeezes  those that make room for it, as they would be
 * @throws SluiceError `refused` when a node lacks what it gives
 */
async function refuseLacking(
  cluster: Cluster,
  one: Switch,
  squeezes: readonly Switch[],
  force: boolean,
): Promise<SwitchForecast> {
  const world = await readWorld(cluster);
  const others = world.switches.filter(({ id }) => !squeezes.some((squeeze) => squeeze.id === id));
  const wish = { force, squeeze: false, all: true, newId: (): SwitchId => newSwitchId(cluster.random) };
  const planned = planSwitch(one, { ...world, switches: [...others, ...squeezes] }, wish);
  // That it chooses nobody any more is no reason: containers come and go.
  if (planned.refusal?.code === 'refused') throw planned.refusal;
  return planned;
}

/** @returns their ids */
async function closeThose(
  cluster: Cluster,
  who: Principal,
  operationId: 'switch.close' | 'switch.closeAll',
  subject: string,
  reason: string,
  which: () => Promise<Switch[]>,
): Promise<SwitchId[]> {
  const { store, mutate, now, switches } = cluster;
  const ids = await mutate({ who, operation: operationId, subject, reason }, async () => {
    const ended = await which();
    const closed = { by: nameOf(who), at: now(), reason: reason.trim() };
    const after = ended.map((one): Switch => ({ ...one, closed }));
    return {
      ...(after.length > 0 && (await toHistory(store, after))),
      detail: detailOfEnding(ended, await readWorld(cluster), now()),
      result: ended.map(({ id }) => id),
    };
  });
  switches.changed('closed');
  return ids;
}

async function mustBeAlive(store: Store, id: SwitchId): Promise<KeptSwitch> {
  const kept = await mustFindSwitch(store, id);
  if (!kept.over) return kept;
  const { closed, until } = kept.one;
  const when =
    closed === null ? `ended at ${isoOf(until)}` : `was closed at ${isoOf(closed.at)} by ${closed.by}`;
  throw new SluiceError('conflict', `switch ${id} ${when}`, 'open another one');
}

async function squeezesOf(store: Store, id: SwitchId): Promise<Switch[]> {
  return (await liveSwitches(store)).map(({ one }) => one).filter(({ squeezeFor }) => squeezeFor === id);
}

function answerFor(
  cluster: Cluster,
  id: SwitchId,
  who: Principal,
  waitMs: number,
  signal: AbortSignal,
): Promise<SwitchShown> {
  return shownWhenSettled(cluster, () => mustFindSwitch(cluster.store, id), who, waitMs, signal);
}

/** Whether nothing of those that were closed is in force any more. */
async function areGone(cluster: Cluster, ids: readonly SwitchId[]): Promise<boolean> {
  const witnesses = await readWitnesses(cluster);
  const kept = await Promise.all(ids.map((id) => mustFindSwitch(cluster.store, id)));
  const now = cluster.now();
  return kept.every((one) => isSettled(one, now, witnesses.nodes, effectsOf(one, now, witnesses)));
}

function notWaiting({ id, approval }: Switch): SluiceError {
  const what = approval === null ? 'needs nobody else' : `was agreed to by ${approval.by}`;
  return new SluiceError('conflict', `switch ${id} ${what}`, 'sluice switch show tells how it stands');
}

function needsAnother({ id, openedBy }: Switch): SluiceError {
  return new SluiceError(
    'refused',
    `${openedBy} has opened switch ${id}, so somebody else has to agree`,
    'let another operator do it, with a token of their own',
  );
}
