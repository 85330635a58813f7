/** Where switches are kept: those that are alive, those that wait for a second person, and those that are over. */
import { SluiceError } from '../../model/errors.ts';
import { Switch, SwitchId } from '../../model/switch.ts';
import type { Put, Store } from '../../store/contract.ts';
import { Counter, numberKey, PATHS, read, records, SWITCHES_KEPT } from './layout.ts';
import type { Random } from './secrets.ts';

export interface KeptSwitch {
  readonly one: Switch;
  /** Of the store, when it was written last: a node that has answered up to here knows of it. */
  readonly revision: number;
  readonly over: boolean;
}

/** All that are not over, the oldest first; those that wait for a second person among them. */
export async function liveSwitches(store: Store): Promise<KeptSwitch[]> {
  const pages = [await store.list(PATHS.switches), await store.list(PATHS.pending)];
  return pages
    .flatMap(({ entries }) =>
      entries.flatMap((entry) =>
        records({ entries: [entry] }, '', Switch).map((one) => ({
          one,
          revision: entry.revision,
          over: false,
        })),
      ),
    )
    .sort(byAge);
}

/** @throws SluiceError `not_found` */
export async function mustFindSwitch(store: Store, id: SwitchId): Promise<KeptSwitch> {
  // Twice: it may have moved while it was looked for.
  const found = (await findSwitch(store, id)) ?? (await findSwitch(store, id));
  if (found !== undefined) return found;
  throw new SluiceError(
    'not_found',
    `there is no switch ${id}`,
    'sluice switch list --all shows what there is',
  );
}

async function findSwitch(store: Store, id: SwitchId): Promise<KeptSwitch | undefined> {
  const number = (await read(store, PATHS.historyIds + id, Counter))?.last;
  const keys = [PATHS.switches + id, PATHS.pending + id];
  if (number !== undefined) keys.push(numberKey(PATHS.history, number));
  for (const key of keys) {
    const entry = await store.get(key);
    const [one] = entry === undefined ? [] : records({ entries: [entry] }, '', Switch);
    if (entry !== undefined && one !== undefined)
      return { one, revision: entry.revision, over: key.startsWith(PATHS.history) };
  }
  return undefined;
}

/** Where a switch belongs that is not over: nodes must not hear of one that nobody has agreed to. */
export function liveKey({ id, approval }: Pick<Switch, 'id' | 'approval'>): string {
  return (approval !== null && approval.at === null ? PATHS.pending : PATHS.switches) + id;
}

/** Takes them out of what nodes follow, and forgets the oldest of the history where it has become too long. */
export async function toHistory(
  store: Store,
  ended: readonly Switch[],
  kept = SWITCHES_KEPT,
): Promise<{ put: Put[]; delete: string[] }> {
  const first = ((await read(store, PATHS.lastEnded, Counter))?.last ?? 0) + 1;
  const put: Put[] = ended.flatMap((one, i) => [
    { key: numberKey(PATHS.history, first + i), value: one },
    { key: PATHS.historyIds + one.id, value: { last: first + i } },
  ]);
  const last = first + ended.length - 1;
  const gone = ended.map(liveKey);
  for (let number = first - kept; number <= last - kept; number++) {
    const key = numberKey(PATHS.history, number);
    const old = number < 1 ? undefined : await read(store, key, Switch);
    if (old !== undefined) gone.push(key, PATHS.historyIds + old.id);
  }
  return { put: [...put, { key: PATHS.lastEnded, value: { last } }], delete: gone };
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';

export function newSwitchId(random: Random): SwitchId {
  return SwitchId.parse(`sw-${[...random(8)].map((byte) => LETTERS[byte % LETTERS.length]).join('')}`);
}

function byAge({ one: a }: KeptSwitch, { one: b }: KeptSwitch): number {
  return a.openedAt - b.openedAt || (a.id < b.id ? -1 : 1);
}
