/** `sluice drops`: what the fence refuses: counted, the last of it, or packet by packet as it comes. */
import type { Argv } from 'yargs';
import type { ApiClient } from '../../linux/api-client.ts';
import { type DropEvent, isWanted, type MissedEvents } from '../../model/drop.ts';
import { SluiceError } from '../../model/errors.ts';
import type { DropCount, TenantCount } from '../../tagqueue/drops.ts';
import { DROP_REASONS } from '../../tagqueue/reasons.ts';
import { show, table, terminal } from '../output.ts';
import { pathTo, type ServerFlags, withDaemon, withServer } from './clients.ts';
import type { Command } from './command.ts';
import { dropLine } from './drop-line.ts';
import { untilInterrupted } from './interrupt.ts';
import { type Common, server } from './options.ts';

interface DropsFlags extends Common, ServerFlags {
  readonly follow?: boolean;
  readonly last?: number;
  readonly tenant?: string;
  readonly reason?: string;
}

export const drops: Command<DropsFlags> = { flags: dropsFlags, run: runDrops };

/** Without --last, for people. */
const USUALLY_SHOWN = 10;

function dropsFlags(yargs: Argv): Argv {
  return server(yargs)
    .option('follow', {
      alias: 'f',
      type: 'boolean',
      describe: 'Show each refused packet as it comes',
    })
    .option('last', {
      type: 'number',
      conflicts: 'follow',
      describe: 'Show so many of the last refused packets',
    })
    .option('tenant', { type: 'string', describe: 'Only packets of this tenant' })
    .option('reason', { choices: DROP_REASONS, describe: 'Only this reason' });
}

/** Of this node; from afar (--server, SLUICE_SERVER) what all nodes have told, as far as the token reaches. */
async function runDrops(flags: DropsFlags): Promise<void> {
  const afar = flags.server ?? process.env['SLUICE_SERVER'];
  if (afar !== undefined) {
    await withServer(flags, (client) =>
      flags.follow
        ? follow(client, `/v1/drops?watch=1&${query(flags)}`, flags)
        : last(client, '/v1/drops', flags),
    );
    return;
  }
  if (flags.tenant !== undefined) await requireTenant(flags, flags.tenant);
  await withDaemon('tagqueue', async (client) => {
    if (flags.follow) return follow(client, `/v1/drops/events?${query(flags)}`, flags);
    if (flags.last !== undefined) return last(client, '/v1/drops/recent', flags);
    return count(client, flags);
  });
}

/** A name that was mistyped would show nothing for ever; that the server is away is no reason to show nothing. */
async function requireTenant(flags: ServerFlags, tenant: string): Promise<void> {
  await withServer(flags, (client) => client.request('GET', pathTo('/v1/tenants', tenant))).catch(
    (error: unknown) => {
      if (error instanceof SluiceError && error.code === 'unreachable') return;
      throw error;
    },
  );
}

function query({ tenant, reason, last: most }: DropsFlags): string {
  const limit = most === undefined ? {} : { limit: String(Math.max(1, Math.min(most, MOST_AT_ONCE))) };
  return new URLSearchParams({
    ...(tenant !== undefined && { tenant }),
    ...(reason !== undefined && { reason }),
    ...limit,
  }).toString();
}

/** A page of the server's list. */
const MOST_AT_ONCE = 1_000;

async function last(client: ApiClient, path: string, flags: DropsFlags): Promise<void> {
  const { items } = (await client.request('GET', `${path}?${query(flags)}`)) as { items: DropEvent[] };
  const shown = items.slice(-(flags.last ?? MOST_AT_ONCE));
  show(flags.json, shown, () => linesOf(shown));
}

async function count(client: ApiClient, flags: DropsFlags): Promise<void> {
  const { drops: all } = (await client.request('GET', '/v1/drops')) as { drops: DropCount[] };
  const counts = countsFor(all, flags);
  if (flags.json) return show(true, counts, () => '');
  const { items } = (await client.request('GET', `/v1/drops/recent?${query(flags)}`)) as {
    items: DropEvent[];
  };
  const seen = counts.filter(({ packets }) => packets > 0 || flags.reason !== undefined);
  const rows = seen.map((one) => [one.reason, String(one.packets), tenantsOf(one.tenants), one.meaning]);
  const text = table(['reason', 'packets', 'whose', 'meaning'], rows, 'nothing was refused');
  const events = items.slice(-USUALLY_SHOWN);
  show(false, counts, () => (events.length === 0 ? text : `${text}\n\n${linesOf(events)}`));
}

/** Of one tenant only its own packets count. */
export function countsFor(
  counts: readonly DropCount[],
  { tenant, reason }: Pick<DropsFlags, 'tenant' | 'reason'>,
): DropCount[] {
  const wanted = counts.filter((one) => reason === undefined || one.reason === reason);
  if (tenant === undefined) return wanted;
  return wanted.map((one) => {
    const own = one.tenants.filter((other) => other.tenant === tenant);
    return { ...one, tenants: own, packets: own.reduce((sum, { packets }) => sum + packets, 0) };
  });
}

/** Those who are concerned most. */
const TENANTS_SHOWN = 3;

function tenantsOf(tenants: readonly TenantCount[]): string {
  const most = tenants.toSorted((a, b) => b.packets - a.packets);
  const shown = most
    .slice(0, TENANTS_SHOWN)
    .map(({ tag, tenant, packets }) => `${whoIs(tag, tenant)} ${packets}`);
  return [...shown, ...(most.length > TENANTS_SHOWN ? ['…'] : [])].join(', ');
}

function whoIs(tag: number, tenant: string | null): string {
  return tenant ?? (tag === 0 ? 'nobody' : `tag ${tag}`);
}

function linesOf(events: readonly DropEvent[]): string {
  return events.length === 0 ? 'nothing was refused lately' : events.map(dropLine).join('\n');
}

async function follow(client: ApiClient, path: string, flags: DropsFlags): Promise<void> {
  for await (const item of client.stream(path, untilInterrupted())) {
    const event = item as DropEvent | MissedEvents | { heartbeat: number };
    if ('heartbeat' in event || (!('missed' in event) && !isWanted(event, flags))) continue;
    show(flags.json, event, () => dropLine(event), terminal);
  }
}
