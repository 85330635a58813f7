/** `sluice drops`: what the fence of this node refuses, counted or packet by packet. */
import type { Argv } from 'yargs';
import { SluiceError } from '../../model/errors.ts';
import type { DropCount, DropEvent, MissedEvents } from '../../tagqueue/drops.ts';
import { DROP_REASONS } from '../../tagqueue/reasons.ts';
import { show, table, terminal } from '../output.ts';
import { type ServerFlags, withDaemon } from './clients.ts';
import type { Command } from './command.ts';
import { untilInterrupted } from './interrupt.ts';
import { type Common, server } from './options.ts';
import { tenantsByTag } from './tenants-by-tag.ts';

interface DropsFlags extends Common, ServerFlags {
  readonly follow?: boolean;
  readonly tenant?: string;
  readonly reason?: string;
}

export const drops: Command<DropsFlags> = { flags: dropsFlags, run: runDrops };

function dropsFlags(yargs: Argv): Argv {
  return server(yargs)
    .option('follow', {
      alias: 'f',
      type: 'boolean',
      default: false,
      describe: 'Show each refused packet as it comes',
    })
    .option('tenant', {
      type: 'string',
      implies: 'follow',
      describe: 'Only packets of this tenant (with --follow)',
    })
    .option('reason', { choices: DROP_REASONS, describe: 'Only this reason' });
}

async function runDrops(flags: DropsFlags): Promise<void> {
  if (flags.tenant !== undefined && !flags.follow) {
    throw new SluiceError(
      'invalid_request',
      'refused packets are counted by reason, not by tenant',
      'add --follow',
    );
  }
  await (flags.follow ? follow(flags) : count(flags));
}

async function count({ json, reason }: DropsFlags): Promise<void> {
  await withDaemon('tagqueue', async (client) => {
    const { drops: counts } = (await client.request('GET', '/v1/drops')) as { drops: DropCount[] };
    const wanted = counts.filter((drop) => reason === undefined || drop.reason === reason);
    const seen = wanted.filter(({ packets }) => packets > 0 || reason !== undefined);
    const rows = seen.map((drop) => [drop.reason, String(drop.packets), drop.meaning]);
    show(json, wanted, () => table(['reason', 'packets', 'meaning'], rows, 'nothing was refused'));
  });
}

async function follow(flags: DropsFlags): Promise<void> {
  const names = await tenantsByTag(flags);
  await withDaemon('tagqueue', async (client) => {
    for await (const item of client.stream('/v1/drops/events', untilInterrupted())) {
      const event = item as DropEvent | MissedEvents;
      if (!isWanted(event, flags, names)) continue;
      const tenant = 'tag' in event ? names.get(event.tag) : undefined;
      show(
        flags.json,
        'tag' in event ? { ...event, tenant: tenant ?? null } : event,
        () => lineOf(event, tenant),
        terminal,
      );
    }
  });
}

function isWanted(
  event: DropEvent | MissedEvents,
  { tenant, reason }: DropsFlags,
  names: ReadonlyMap<number, string>,
): boolean {
  if ('missed' in event) return true;
  return (
    (tenant === undefined || names.get(event.tag) === tenant) &&
    (reason === undefined || event.reason === reason)
  );
}

/** One line of `sluice drops --follow`. */
export function lineOf(event: DropEvent | MissedEvents, tenant: string | undefined): string {
  if ('missed' in event) return `… ${event.missed} more came faster than they could be shown`;
  const who = tenant ?? (event.tag === 0 ? 'nobody' : `tag ${event.tag}`);
  const where = event.interface ?? `interface ${event.ifindex}`;
  return `${event.time.slice(11, 23)}  ${event.reason.padEnd(14)}  ${event.hook.padEnd(10)}  ${where.padEnd(15)}  ${who.padEnd(10)}  ${packetOf(event)}`;
}

const PROTOCOLS: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp' };

function packetOf({ header, length }: DropEvent): string {
  if (header === undefined) return `${length} bytes`;
  if (header.source === undefined) {
    return `${header.sourceMac} → ${header.destinationMac} ethertype 0x${header.etherType.toString(16).padStart(4, '0')}, ${length} bytes`;
  }
  const end = (address: string | undefined, port: number | undefined): string =>
    `${address}${port === undefined ? '' : `:${port}`}`;
  const what =
    header.protocol === undefined ? 'arp' : (PROTOCOLS[header.protocol] ?? `protocol ${header.protocol}`);
  const claim = header.claimedTag === undefined ? '' : `, claims tag ${header.claimedTag}`;
  return `${end(header.source, header.sourcePort)} → ${end(header.destination, header.destinationPort)} ${what}, ${length} bytes${claim}`;
}
