/** `sluice audit`: who changed what, and when. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Argv } from 'yargs';
import type { ApiClient } from '../../linux/api-client.ts';
import { show, table, timeOf } from '../output.ts';
import { listAll, type ServerFlags, withServer } from './clients.ts';
import type { Command } from './command.ts';
import { untilInterrupted } from './interrupt.ts';
import { type Common, server } from './options.ts';

interface AuditFlags extends Common, ServerFlags {
  readonly follow?: boolean;
}

interface AuditEntry {
  readonly number: number;
  readonly at: number;
  readonly who: string;
  readonly operation: string;
  readonly subject: string;
}

export const audit: Command<AuditFlags> = { flags: auditFlags, run: runAudit };

function auditFlags(yargs: Argv): Argv {
  return server(yargs).option('follow', {
    alias: 'f',
    type: 'boolean',
    default: false,
    describe: 'Go on with what comes',
  });
}

async function runAudit(flags: AuditFlags): Promise<void> {
  await withServer(flags, async (client) => {
    const entries = await entriesAfter(client, 0);
    if (!flags.follow) {
      const rows = entries.map((entry) => [
        String(entry.number),
        timeOf(entry.at),
        entry.who,
        entry.operation,
        entry.subject,
      ]);
      return show(flags.json, entries, () =>
        table(['number', 'time', 'who', 'operation', 'subject'], rows, 'nothing was changed yet'),
      );
    }
    await follow(client, flags, entries);
  });
}

const LOOK_EVERY_MS = 1_000;

async function follow(client: ApiClient, { json }: AuditFlags, first: readonly AuditEntry[]): Promise<void> {
  const signal = untilInterrupted();
  let entries = first;
  let last = 0;
  while (!signal.aborted) {
    for (const entry of entries) {
      show(
        json,
        entry,
        () => `${timeOf(entry.at)}  ${entry.who.padEnd(24)}  ${entry.operation.padEnd(16)}  ${entry.subject}`,
      );
      last = entry.number;
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    entries = signal.aborted ? [] : await entriesAfter(client, last);
  }
}

/** The log's keys are numbers of twelve digits (orchestrator/server/layout.ts). */
function entriesAfter(client: ApiClient, number: number): Promise<AuditEntry[]> {
  return listAll<AuditEntry>(
    client,
    '/v1/audit',
    number === 0 ? undefined : String(number).padStart(12, '0'),
  );
}
