/** One change at the server, or what it would be. */
import { confirm } from '../ask.ts';
import { show } from '../output.ts';
import { type Change, type ServerFlags, withServer } from './clients.ts';
import type { Destroying } from './options.ts';

export interface PlannedChange<T> extends Change {
  /** Such as 'delete tenant blue'. */
  readonly what: string;
  /** Read first, so that what is not there is not asked about; its error is the command's. */
  readonly mustExist?: string;
  /** What --json prints, of the answer. */
  json(answer: T): unknown;
  text(answer: T): string;
}

/** Changes something; with --dry-run says what it would ask of the server. */
export async function change<T>(
  flags: Destroying & ServerFlags,
  planned: PlannedChange<T>,
  destructive = false,
): Promise<void> {
  const { method, path, body, what, mustExist } = planned;
  await withServer(flags, async (client) => {
    if (mustExist !== undefined) await client.request('GET', mustExist);
    if (flags.dryRun) {
      const request = { method, path, ...(body !== undefined && { body }) };
      show(flags.json, { dryRun: true, would: what, request }, () => `would ${what}`);
      return;
    }
    if (destructive) await confirm(what, flags.yes);
    const answer = (await client.request(method, path, body)) as T;
    show(flags.json, planned.json(answer), () => planned.text(answer));
  });
}
