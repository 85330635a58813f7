/** `sluice usage`: what the containers of this node have sent and received. */
import type { Argv } from 'yargs';
import { SluiceError } from '../../model/errors.ts';
import { COUNTERS, USAGE_GROUPS, type UsageGroup } from '../../model/usage.ts';
import type { ToldUsage, UsageAnswer } from '../../tagqueue/accounts/routes.ts';
import { show, table } from '../output.ts';
import { type ServerFlags, withDaemon } from './clients.ts';
import type { Command } from './command.ts';
import { type Common, server } from './options.ts';
import { tenantsByTag } from './tenants-by-tag.ts';
import { parseTime } from './when.ts';

interface UsageFlags extends Common, ServerFlags {
  readonly tenant?: string;
  readonly from: string;
  readonly to: string;
  readonly by: UsageGroup;
}

export const usage: Command<UsageFlags> = { flags: usageFlags, run: runUsage };

function usageFlags(yargs: Argv): Argv {
  const when = 'ISO 8601, 90m, 24h, 7d, today, yesterday or now';
  return server(yargs)
    .option('tenant', { type: 'string', describe: 'Only this tenant' })
    .option('from', { type: 'string', default: '24h', describe: `Since when: ${when}` })
    .option('to', { type: 'string', default: 'now', describe: 'Until when' })
    .option('by', { choices: USAGE_GROUPS, default: 'tenant', describe: 'What to add up by' });
}

async function runUsage(flags: UsageFlags): Promise<void> {
  const now = Date.now();
  const [from, to] = [parseTime(flags.from, now), parseTime(flags.to, now)];
  if (from >= to) throw new SluiceError('invalid_request', '--from is not before --to', 'turn them round');
  const names = await tenantsByTag(flags);
  const [tag] = flags.tenant === undefined ? [] : names.keys();
  const question = new URLSearchParams({
    by: flags.by,
    from: new Date(from).toISOString(),
    ...(flags.to !== 'now' && { to: new Date(to).toISOString() }),
    ...(tag !== undefined && { tenant: String(tag) }),
    limit: '100000',
  });
  await withDaemon('tagqueue', async (client) => {
    const answer = (await client.request('GET', `/v1/usage?${question}`)) as UsageAnswer;
    const rows = answer.rows.map((row) => ({ ...row, tenant: names.get(row.tag) ?? null }));
    show(flags.json, { ...answer, rows }, () => usageText(answer, names));
  });
}

const HEADS: Readonly<Record<UsageGroup, readonly string[]>> = {
  tenant: ['tenant', 'side'],
  endpoint: ['container', 'interface', 'tenant', 'side'],
  hour: ['hour', 'tenant', 'side'],
};

/** What people see. */
export function usageText({ by, rows, more }: UsageAnswer, names: ReadonlyMap<number, string>): string {
  const lines = rows.map((row) => {
    const tenant = names.get(row.tag) ?? `tag ${row.tag}`;
    const hour = `${row.hour?.slice(0, 16)}Z`;
    const whose = {
      tenant: [tenant, row.side],
      endpoint: [row.container ?? '', row.ifName ?? '', tenant, row.side],
      hour: [hour, tenant, row.side],
    }[by];
    return [...whose, ...COUNTERS.map((counter) => readable(row, counter))];
  });
  const head = [...HEADS[by], 'sent', 'packets', 'received', 'packets'];
  const text = table(head, lines, 'nothing was sent or received');
  return more ? `${text}\n… and more: ask for a shorter time, or for one tenant` : text;
}

function readable(row: ToldUsage, counter: (typeof COUNTERS)[number]): string {
  return counter.endsWith('Bytes') ? humanBytes(BigInt(row[counter])) : row[counter];
}

const PREFIXES = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

/** Such as '512 B' or '1.5 MiB'. */
export function humanBytes(bytes: bigint): string {
  let [size, unit] = [Number(bytes), 'B'];
  for (const prefix of PREFIXES) {
    // 1023.95 would be shown as 1024.0.
    if (size < (unit === 'B' ? 1024 : 1023.95)) break;
    [size, unit] = [size / 1024, prefix];
  }
  return `${unit === 'B' ? size : size.toFixed(1)} ${unit}`;
}
