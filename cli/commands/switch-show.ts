/** `sluice switch list`, `show` and `history`. */

import { changesText } from '../../model/change-text.ts';
import type { LimitField, LimitValue } from '../../model/limits.ts';
import { printLimit } from '../../model/quantity.ts';
import type { SwitchListed, SwitchShown } from '../../model/switch-request.ts';
import { selectorText } from '../../model/switch-words.ts';
import { show, table, timeOf } from '../output.ts';
import { listAll, pathTo, type ServerFlags, withServer } from './clients.ts';
import type { Common } from './options.ts';
import { findSwitch } from './switch-find.ts';
import { shownText } from './switch-text.ts';

const PATH = '/v1/switches';
type Flags = Common & ServerFlags;

export async function list(flags: Flags, all: boolean): Promise<void> {
  await withServer(flags, async (client) => {
    const switches = await listAll<SwitchListed>(client, all ? `${PATH}?all=1` : PATH);
    show(flags.json, switches, () => listText(switches, 'no switch is open, and none waits'));
  });
}

export async function showSwitch(flags: Flags, word: string): Promise<void> {
  const id = await findSwitch(flags, word);
  await withServer(flags, async (client) => {
    const shown = (await client.request('GET', pathTo(PATH, id))) as SwitchShown;
    show(flags.json, shown, () => shownText(shown));
  });
}

export async function history(flags: Flags, word: string | undefined): Promise<void> {
  if (word !== undefined) return historyOf(flags, await findSwitch(flags, word));
  await withServer(flags, async (client) => {
    const switches = await listAll<SwitchListed>(client, `${PATH}?all=1`);
    const over = switches.filter(({ phase }) => phase === 'ended' || phase === 'closed');
    show(flags.json, over, () => listText(over, 'no switch is over'));
  });
}

function listText(switches: readonly SwitchListed[], empty: string): string {
  const head = ['id', 'name', 'phase', 'for', 'changes', 'priority', 'until', 'by', 'reason'];
  const rows = switches.map((one) => [
    ...[
      one.id,
      one.name,
      one.phase,
      selectorText(one.select),
      changesText(one.changes),
      String(one.priority),
    ],
    ...[timeOf(one.closed?.at ?? one.until), one.openedBy, one.reason],
  ]);
  return table(head, rows, empty);
}

/** An entry of the audit log, as far as switches are concerned. */
interface Entry {
  readonly at: number;
  readonly who: string;
  readonly operation: string;
  readonly subject: string;
  readonly reason?: string;
  readonly before?: Side | null;
  readonly after?: Side | null;
}

interface Side {
  readonly limits?: Readonly<Record<string, Readonly<Partial<Record<LimitField, LimitValue>>>>>;
  readonly switches?: readonly { readonly id: string }[];
}

async function historyOf(flags: Flags, id: string): Promise<void> {
  await withServer(flags, async (client) => {
    // So that an id that nobody has is not found, and not without history.
    await client.request('GET', pathTo(PATH, id));
    const entries = (await listAll<Entry>(client, '/v1/audit')).filter((entry) => isAbout(entry, id));
    show(flags.json, entries, () => entries.map(entryText).join('\n'));
  });
}

function isAbout({ operation, subject, before }: Entry, id: string): boolean {
  if (!operation.startsWith('switch.')) return false;
  return subject.split(' ').includes(id) || before?.switches?.some((one) => one.id === id) === true;
}

function entryText({ at, who, operation, reason, before, after }: Entry): string {
  const values = Object.entries(after?.limits ?? {}).flatMap(([container, fields]) =>
    (Object.entries(fields) as [LimitField, LimitValue][]).map(([field, value]) => [
      ...[container, field, textOf(field, before?.limits?.[container]?.[field])],
      textOf(field, value),
    ]),
  );
  const said = [timeOf(at), who, operation, ...(reason === undefined ? [] : [`'${reason}'`])].join('  ');
  if (values.length === 0) return said;
  return `${said}\n${table(['container', 'field', 'before', 'after'], values, '').replace(/^/gm, '  ')}`;
}

function textOf(field: LimitField, value: LimitValue | undefined): string {
  return value === undefined ? '-' : printLimit(field, value);
}
