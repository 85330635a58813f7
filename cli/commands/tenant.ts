/** `sluice tenant`: who is kept apart from whom. */
import type { Argv } from 'yargs';
import type { Tenant } from '../../model/cluster.ts';
import { show, table, timeOf } from '../output.ts';
import { change } from './change.ts';
import { listAll, pathTo, withServer } from './clients.ts';
import { changing, destroying, type Root, server } from './options.ts';

const PATH = '/v1/tenants';

export function tenant(yargs: Root): Argv {
  return server(yargs)
    .command(
      'create <tenant>',
      'Make a tenant; it gets the next tag',
      (y) => changing(y.positional('tenant', NAME)),
      (flags) =>
        change<Tenant>(flags, {
          method: 'POST',
          path: PATH,
          body: { tenant: flags.tenant },
          what: `create tenant ${flags.tenant}`,
          json: (made) => ({ tenant: made.tenant, tag: made.tag }),
          text: (made) => `tenant ${made.tenant} has tag ${made.tag}`,
        }),
    )
    .command(
      ['list', 'ls'],
      'List tenants',
      (y) => y,
      (flags) =>
        withServer(flags, async (client) => {
          const tenants = await listAll<Tenant>(client, PATH);
          const rows = tenants.map((one) => [one.tenant, String(one.tag), timeOf(one.createdAt)]);
          show(flags.json, tenants, () =>
            table(['tenant', 'tag', 'created'], rows, 'no tenants; make one: sluice tenant create NAME'),
          );
        }),
    )
    .command(
      'show <tenant>',
      'Show one tenant',
      (y) => y.positional('tenant', NAME),
      (flags) =>
        withServer(flags, async (client) => {
          const one = (await client.request('GET', pathTo(PATH, flags.tenant))) as Tenant;
          show(
            flags.json,
            one,
            () => `tenant   ${one.tenant}\ntag      ${one.tag}\ncreated  ${timeOf(one.createdAt)}`,
          );
        }),
    )
    .command(
      ['delete <tenant>', 'rm'],
      'Forget a tenant; its tag is never given again',
      (y) => destroying(y.positional('tenant', NAME)),
      (flags) =>
        change(
          flags,
          {
            method: 'DELETE',
            path: pathTo(PATH, flags.tenant),
            what: `delete tenant ${flags.tenant}`,
            mustExist: pathTo(PATH, flags.tenant),
            json: () => ({ deleted: flags.tenant }),
            text: () => `tenant ${flags.tenant} is deleted`,
          },
          true,
        ),
    )
    .demandCommand(1, 'say what to do with tenants');
}

const NAME = { type: 'string', demandOption: true, describe: "a-z, 0-9 and '-', at most 63" } as const;
