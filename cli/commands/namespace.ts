/** `sluice namespace`: which tenant the pods of a Kubernetes namespace belong to. */
import type { Argv } from 'yargs';
import type { NamespaceMapping } from '../../model/cluster.ts';
import { show, table } from '../output.ts';
import { change } from './change.ts';
import { listAll, pathTo, withServer } from './clients.ts';
import { changing, destroying, type Root, server } from './options.ts';

const PATH = '/v1/namespaces';
const NAMESPACE = { type: 'string', demandOption: true, describe: 'The Kubernetes namespace' } as const;

export function namespace(yargs: Root): Argv {
  return server(yargs)
    .command(
      'set <namespace> <tenant>',
      'Give a namespace to a tenant; pods that run already keep theirs',
      (y) =>
        changing(
          y
            .positional('namespace', NAMESPACE)
            .positional('tenant', { type: 'string', demandOption: true, describe: 'The tenant' }),
        ),
      (flags) =>
        change<NamespaceMapping>(flags, {
          method: 'PUT',
          path: pathTo(PATH, flags.namespace),
          body: { tenant: flags.tenant },
          what: `give namespace ${flags.namespace} to tenant ${flags.tenant}`,
          json: (mapping) => mapping,
          text: (mapping) => `namespace ${mapping.namespace} belongs to tenant ${mapping.tenant}`,
        }),
    )
    .command(
      ['list', 'ls'],
      'List the namespaces that belong to tenants',
      (y) => y,
      (flags) =>
        withServer(flags, async (client) => {
          const mappings = await listAll<NamespaceMapping>(client, PATH);
          const rows = mappings.map((one) => [one.namespace, one.tenant]);
          show(flags.json, mappings, () =>
            table(['namespace', 'tenant'], rows, 'no namespace belongs to a tenant'),
          );
        }),
    )
    .command(
      ['delete <namespace>', 'rm'],
      'Take a namespace from its tenant',
      (y) => destroying(y.positional('namespace', NAMESPACE)),
      (flags) =>
        change(
          flags,
          {
            method: 'DELETE',
            path: pathTo(PATH, flags.namespace),
            what: `take namespace ${flags.namespace} from its tenant`,
            json: () => ({ deleted: flags.namespace }),
            text: () => `namespace ${flags.namespace} belongs to no tenant`,
          },
          true,
        ),
    )
    .demandCommand(1, 'say what to do with namespaces');
}
