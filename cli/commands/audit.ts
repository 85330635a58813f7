/** `sluice audit`: who changed what, and when. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Argv } from 'yargs';
import type { ApiClient } from '../../linux/api-client.ts';
import { show, table, timeOf } from '../output.ts';
import { type AuditDetail, detailLines } from './audit-lines.ts';
import { listAll, type ServerFlags, withServer } from './clients.ts';
import type { Command } from './command.ts';
import { untilInterrupted } from './interrupt.ts';
import { type Common, server } from './options.ts';

interface AuditFlags extends Common, ServerFlags {
  readonly follow?: boolean;
}

interface AuditEntry extends AuditDetail {
  readonly number: number;
  readonly at: number;
  readonly who: string;
  readonly operation: string;
  readonly subject: string;
  readonly reason?: string;
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
        entry.reason ?? '',
      ]);
      return show(flags.json, entries, () =>
        withDetails(
          table(['number', 'time', 'who', 'operation', 'subject', 'why'], rows, 'nothing was changed yet'),
          entries,
        ),
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
      show(json, entry, () => [headOf(entry), ...detailLines(entry).map(indented)].join('\n'));
      last = entry.number;
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    entries = signal.aborted ? [] : await entriesAfter(client, last);
  }
}

/** Below each row what it has done. */
function withDetails(text: string, entries: readonly AuditEntry[]): string {
  const [head = '', ...rows] = text.split('\n');
  const lines = rows.flatMap((row, i) => [row, ...detailLines(entries[i] ?? {}).map(indented)]);
  return [head, ...lines].join('\n');
}

function headOf({ at, who, operation, subject, reason }: AuditEntry): string {
  const why = reason === undefined ? '' : `: ${reason}`;
  return `${timeOf(at)}  ${who.padEnd(24)}  ${operation.padEnd(16)}  ${subject}${why}`;
}

function indented(line: string): string {
  return `        ${line}`;
}

/** The log's keys are numbers of twelve digits (orchestrator/server/layout.ts). */
function entriesAfter(client: ApiClient, number: number): Promise<AuditEntry[]> {
  return listAll<AuditEntry>(
    client,
    '/v1/audit',
    number === 0 ? undefined : String(number).padStart(12, '0'),
  );
}
