/** `sluice token`: what lets machines and people in. */
import type { Argv } from 'yargs';
import { show, table, timeOf } from '../output.ts';
import { change } from './change.ts';
import { listAll, pathTo, withServer } from './clients.ts';
import { changing, destroying, type Root, server } from './options.ts';

const PATH = '/v1/tokens';

interface TokenInfo {
  readonly id: string;
  readonly role: string;
  readonly node: string | null;
  readonly tenant: string | null;
  readonly createdBy: string;
  readonly expiresAt: number | null;
}

export function token(yargs: Root): Argv {
  return server(yargs)
    .command(
      'create',
      'Make a token and print it, this once',
      (y) =>
        changing(y)
          .option('role', {
            choices: ['node', 'operator', 'admin', 'tenant'] as const,
            demandOption: true,
            describe:
              'node: lets machines join; operator: tenants and namespaces; admin: all; tenant: sees what is its own',
          })
          .option('tenant', { type: 'string', describe: 'Whom a token of role tenant speaks for' })
          .option('ttl', {
            type: 'number',
            describe: 'Seconds until it expires (default: a day for node, 90 days else)',
          }),
      (flags) =>
        change<TokenInfo & { token: string }>(flags, {
          method: 'POST',
          path: PATH,
          body: {
            role: flags.role,
            ...(flags.tenant !== undefined && { tenant: flags.tenant }),
            ...(flags.ttl !== undefined && { ttlSeconds: flags.ttl }),
          },
          what: `create a token for role ${flags.role}`,
          json: (made) => made,
          text: (made) => made.token,
        }),
    )
    .command(
      ['list', 'ls'],
      'List tokens, without their secrets',
      (y) => y,
      (flags) =>
        withServer(flags, async (client) => {
          const tokens = await listAll<TokenInfo>(client, PATH);
          const rows = tokens.map((one) => [
            one.id,
            one.role,
            one.node ?? one.tenant ?? '',
            one.createdBy,
            one.expiresAt === null ? 'never' : timeOf(one.expiresAt),
          ]);
          show(flags.json, tokens, () =>
            table(['id', 'role', 'of', 'made by', 'expires'], rows, 'no tokens'),
          );
        }),
    )
    .command(
      ['revoke <id>', 'rm'],
      'End a token at once, and what was opened with it',
      (y) =>
        destroying(
          y.positional('id', {
            type: 'string',
            demandOption: true,
            describe: 'As `sluice token list` shows it',
          }),
        ),
      (flags) =>
        change(
          flags,
          {
            method: 'DELETE',
            path: pathTo(PATH, flags.id),
            what: `revoke token ${flags.id}`,
            json: () => ({ revoked: flags.id }),
            text: () => `token ${flags.id} is revoked`,
          },
          true,
        ),
    )
    .demandCommand(1, 'say what to do with tokens');
}
