/** Switches: how they are planned, opened and looked at. How they end is switch-ends.ts. */
import * as z from 'zod';
import { SluiceError } from '../../model/errors.ts';
import { Switch, SwitchId } from '../../model/switch.ts';
import {
  SwitchListed,
  SwitchPlanned,
  SwitchRequest,
  SwitchShown,
  WaitQuery,
} from '../../model/switch-request.ts';
import { Counter, PATHS, read, records } from './layout.ts';
import { type Cluster, type Operation, operation } from './operation.ts';
import { PageQuery, pageOf } from './paging.ts';
import { nameOf, type Principal } from './principal.ts';
import { detailOfOpening } from './switch-audit.ts';
import { draftSwitch } from './switch-draft.ts';
import { planSwitch, readWorld, type SwitchForecast } from './switch-planning.ts';
import { concerns, listed, readWitnesses, shownWhenSettled } from './switch-showing.ts';
import { type KeptSwitch, liveKey, liveSwitches, mustFindSwitch, newSwitchId } from './switch-store.ts';

/** What all nodes follow and every container is looked up in. */
const MOST_AT_ONCE = 1_000;

const plan = operation({
  id: 'switch.plan',
  method: 'POST',
  path: '/v1/switches/plan',
  summary:
    'Shows what a switch would do to each container, what nodes lack for it, and whether it would be refused.',
  body: SwitchRequest,
  answer: SwitchPlanned,
  handle: async (cluster, { who, body }) => {
    const { refusal, ...planned } = await forecastOf(
      cluster,
      body,
      body.id ?? newSwitchId(cluster.random),
      who,
    );
    const said = refusal && { code: refusal.code, message: refusal.message, hint: refusal.hint };
    return { json: { ...planned, refusal: said } satisfies SwitchPlanned };
  },
});

const open = operation({
  id: 'switch.open',
  method: 'POST',
  path: '/v1/switches',
  summary: 'Opens a switch, and answers when the nodes have, or when the time to wait is over.',
  query: WaitQuery,
  body: SwitchRequest,
  answer: SwitchShown,
  status: 201,
  handle: async (cluster, { who, body, query: { waitMs }, signal }) => {
    const { store, mutate, random, switches } = cluster;
    const id = body.id ?? newSwitchId(random);
    const subject = `switch ${body.name ?? body.preset ?? 'switch'} ${id}`;
    await mutate({ who, operation: 'switch.open', subject, reason: body.reason }, async () => {
      const planned = await forecastOf(cluster, body, id, who);
      if (planned.refusal !== null) throw planned.refusal;
      const opened = [planned.switch, ...planned.squeezes];
      await refuseTaken(cluster, opened);
      return {
        compare: opened.map((one) => ({ key: liveKey(one), revision: 0 })),
        put: opened.map((one) => ({ key: liveKey(one), value: one })),
        detail: detailOfOpening(planned),
        result: undefined,
      };
    });
    switches.changed('opened');
    const find = (): Promise<KeptSwitch> => mustFindSwitch(store, id);
    return { json: await shownWhenSettled(cluster, find, who, waitMs, signal) };
  },
});

const list = operation({
  id: 'switch.list',
  method: 'GET',
  path: '/v1/switches',
  summary:
    'Lists switches that are open or will be, the oldest first; with ?all=1 those before them that are over. A tenant sees those that concern it.',
  query: z.strictObject({ ...PageQuery.shape, all: z.literal('1').optional() }),
  answer: pageOf(SwitchListed),
  handle: async (cluster, { who, query: { limit, after, all } }) => {
    const page =
      all === '1' && after?.startsWith(LIVE) !== true
        ? await historyPage(cluster, limit, after)
        : { items: [], next: null };
    if (page.next === null) {
      const rest = await livePage(cluster, limit - page.items.length, after);
      page.items.push(...rest.items);
      page.next = rest.next;
    }
    const witnesses = who.role === 'tenant' ? await readWitnesses(cluster) : undefined;
    const wanted = (one: Switch): boolean =>
      who.role !== 'tenant' || witnesses === undefined || concerns(one, who.tenant, witnesses);
    const items = page.items.filter(wanted).map((one) => listed(one, cluster.now(), who));
    return { json: { items, next: page.next } };
  },
});

const show = operation({
  id: 'switch.show',
  method: 'GET',
  path: '/v1/switches/:id',
  summary:
    'Shows a switch, and what has become of it at each container; ?waitMs= waits for the nodes’ answers.',
  params: z.strictObject({ id: SwitchId }),
  query: WaitQuery,
  answer: SwitchShown,
  handle: async (cluster, { who, params: { id }, query: { waitMs }, signal }) => {
    const find = (): Promise<KeptSwitch> => mustFindSwitch(cluster.store, id);
    if (who.role === 'tenant') await refuseOthers(cluster, id, who);
    return { json: await shownWhenSettled(cluster, find, who, waitMs, signal) };
  },
});

export const switchOperations: readonly Operation[] = [plan, open, list, show];

async function forecastOf(
  cluster: Cluster,
  request: SwitchRequest,
  id: SwitchId,
  who: Principal,
): Promise<SwitchForecast> {
  const { switchRules: rules, random } = cluster;
  const world = await readWorld(cluster);
  const draft = draftSwitch(request, rules, world.now, id, nameOf(who));
  const wish = { ...request, newId: (): SwitchId => newSwitchId(random) };
  const planned = planSwitch(draft, world, wish);
  const { approveAbove } = rules;
  const count = planned.containers.length + planned.shares.length;
  if (approveAbove === undefined || count <= approveAbove) return planned;
  const approval = { by: null, at: null };
  return {
    ...planned,
    switch: { ...planned.switch, approval },
    squeezes: planned.squeezes.map((one) => ({ ...one, approval })),
  };
}

/** @throws SluiceError `already_exists`, `limited` */
async function refuseTaken({ store }: Cluster, opened: readonly Switch[]): Promise<void> {
  for (const { id } of opened) {
    const there =
      (await store.get(PATHS.switches + id)) ??
      (await store.get(PATHS.pending + id)) ??
      (await read(store, PATHS.historyIds + id, Counter));
    if (there !== undefined)
      throw new SluiceError('already_exists', `there is a switch ${id}`, 'leave the id out, or plan again');
  }
  if ((await liveSwitches(store)).length + opened.length <= MOST_AT_ONCE) return;
  throw new SluiceError(
    'limited',
    `there would be more than ${MOST_AT_ONCE} switches at once`,
    'close some, or choose more containers with one',
  );
}

/** Which switches others have is none of a tenant's business. @throws SluiceError `not_found` */
async function refuseOthers(
  cluster: Cluster,
  id: SwitchId,
  { tenant }: Principal & { role: 'tenant' },
): Promise<void> {
  const { one } = await mustFindSwitch(cluster.store, id);
  if (concerns(one, tenant, await readWitnesses(cluster))) return;
  throw new SluiceError(
    'not_found',
    `there is no switch ${id}`,
    'sluice switch list --all shows what there is',
  );
}

interface SwitchPage {
  readonly items: Switch[];
  next: string | null;
}

/** Where a page of the living begins: behind this, age and id of the last one of the page before. */
const LIVE = 'live/';
const ENDED = 'ended/';

async function historyPage(
  { store }: Cluster,
  limit: number,
  after: string | undefined,
): Promise<SwitchPage> {
  const last = after?.startsWith(ENDED) ? { after: PATHS.history + after.slice(ENDED.length) } : {};
  const page = await store.list(PATHS.history, { limit, ...last });
  const items = records(page, PATHS.history, Switch);
  const key = page.entries.at(-1)?.key.slice(PATHS.history.length);
  return { items, next: page.more && key !== undefined ? ENDED + key : null };
}

async function livePage({ store }: Cluster, limit: number, after: string | undefined): Promise<SwitchPage> {
  const from = after?.startsWith(LIVE) ? after : LIVE;
  const left = (await liveSwitches(store)).filter(({ one }) => placeOf(one) > from);
  const items = left.slice(0, limit).map(({ one }) => one);
  const last = items.at(-1);
  if (left.length === items.length) return { items, next: null };
  return { items, next: last === undefined ? from : placeOf(last) };
}

function placeOf({ openedAt, id }: Switch): string {
  return `${LIVE}${String(openedAt).padStart(15, '0')}/${id}`;
}
